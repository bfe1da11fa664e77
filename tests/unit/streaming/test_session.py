from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tests.scripted_engine import Engine, Rehearsal, Script, ScriptedEngine, held
from tests.unit.streaming.test_session_properties import check_wire

from voxray.errors import ConfigError
from voxray.streaming.endpoint import EndpointOptions
from voxray.streaming.events import (
    DecodeMode,
    DecodeRequest,
    Done,
    Event,
    Final,
    Finalized,
    Hypothesis,
    HypothesisWord,
    Partial,
    SessionProgress,
    SpeechEnd,
    SpeechStart,
    samples,
    seconds,
)
from voxray.streaming.options import SessionOptions
from voxray.streaming.session import Session, SessionState

SCRIPT = Script.of("turn on the lights, please.")


def played(
    script: Script = SCRIPT,
    engine: Engine | None = None,
    options: SessionOptions | None = None,
    latency_s: float = 0.05,
) -> Rehearsal:
    return Rehearsal(Session(options), engine or ScriptedEngine(script), (latency_s,)).play(script, [512])


def of(kind: DecodeMode, requests: list[DecodeRequest]) -> list[DecodeRequest]:
    return [r for r in requests if r.mode is kind]


def changed(script: Script, change: Callable[[DecodeRequest, Hypothesis], Hypothesis | None]) -> Engine:
    """The scripted engine with answers changed."""
    engine = ScriptedEngine(script)

    def answer(request: DecodeRequest) -> Hypothesis | None:
        return change(request, engine(request))

    return answer


def events_of(session: Session, script: Script, until_s: float, now_s: float = 0.0) -> list[Event]:
    """Events of the first `until_s` seconds of `script`, with no engine at all."""
    frames = round(until_s * 16_000) // 512
    session.receive_audio(script.pcm()[: frames * 512], script.speech()[:frames], now_s)
    return session.events_to_send()


def test_an_utterance_has_events_from_start_to_final() -> None:
    events = [e for e in played().events if not isinstance(e, SessionProgress)]

    assert [type(e) for e in events] == [SpeechStart, *[Partial] * 4, SpeechEnd, Final, Done]
    assert [(e.stable, e.unstable) for e in events if isinstance(e, Partial)] == [
        ("", "turn"),
        ("turn", " on"),
        ("turn on", " the lights,"),
        ("turn on the lights, please", "."),
    ]
    final = events[-2]
    assert isinstance(final, Final)
    assert final.text == "turn on the lights, please."
    assert (final.start_s, final.end_s) == (0.992, 2.464)
    assert [(w.text, w.start_s, w.end_s) for w in final.words or ()][3:] == [
        ("lights,", 1.9, 2.15),
        ("please.", 2.2, 2.45),
    ]
    assert events[-1] == Done(SCRIPT.length / 16_000, 1)


def test_decodes_come_after_300_ms_and_then_every_500_ms() -> None:
    partials = of(DecodeMode.PARTIAL, played().requests)

    assert [round((r.end / 16_000 - 0.992) / 0.032) for r in partials] == [10, 26, 42]
    assert {r.start for r in partials} == {round(0.992 * 16_000) - 4800}


def test_committed_words_are_forced_on_the_next_decode() -> None:
    assert [r.prefix for r in played().requests] == ["", "", " turn", " turn on"]


def test_the_decode_of_the_first_silence_is_the_final_without_another() -> None:
    requests = played().requests

    assert [r.mode for r in requests][-1:] == [DecodeMode.FINAL]
    assert len(of(DecodeMode.FINAL, requests)) == 1
    final = requests[-1]
    assert final.word_times
    assert final.end == round(2.464 * 16_000) + 3200
    assert final.deadline_s == pytest.approx(2.464 + 0.6, abs=0.04)


def test_speech_that_goes_on_after_a_silence_makes_that_decode_a_partial() -> None:
    script = Script.of("turn on the\nlights please", pause_s=0.4)
    rehearsal = played(script)

    assert [f.text for f in rehearsal.finals] == ["turn on the lights please"]
    assert [r.mode for r in rehearsal.requests].count(DecodeMode.FINAL) == 2


def test_finals_in_advance_come_at_most_every_half_second() -> None:
    script = Script.of("\n".join("abcdefgh"), word_s=0.06, pause_s=0.3)
    finals = of(DecodeMode.FINAL, played(script).requests)

    assert len(finals) < 6
    assert all(b.asked_s - a.asked_s >= 0.5 for a, b in pairwise(finals[:-1]))  # the last is no guess


@pytest.mark.parametrize(
    "bad",
    [
        {"compression_ratio": 3.0},
        {"avg_logprob": -2.0},
        {"avg_logprob": -2.0, "no_speech_prob": 0.9},
        {"words": (HypothesisWord(" six"),) * 30},
        None,
    ],
    ids=["compression", "logprob", "no speech", "loop", "failure"],
)
def test_a_final_that_the_guards_stop_is_decoded_once_more(bad: dict[str, object] | None) -> None:
    def change(request: DecodeRequest, decoded: Hypothesis) -> Hypothesis | None:
        if request.mode is not DecodeMode.FINAL:
            return decoded
        return replace(decoded, **bad) if bad else None  # type: ignore[arg-type]  # fields of Hypothesis

    rehearsal = played(engine=changed(SCRIPT, change))

    assert [r.mode for r in rehearsal.requests][-2:] == [DecodeMode.FINAL, DecodeMode.FALLBACK]
    assert rehearsal.text == SCRIPT.text


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({"compression_ratio": 3.0}, "turn on"),
        ({"avg_logprob": -2.0, "no_speech_prob": 0.9}, "turn on"),
        ({"avg_logprob": -1.1}, SCRIPT.text),
        ({"avg_logprob": -2.0}, "turn on"),
        ({"words": ()}, "turn on"),
    ],
    ids=["loop", "no speech", "doubtful", "babble", "misfit"],
)
def test_what_the_fallback_cannot_save_is_dropped_but_for_the_committed_words(
    bad: dict[str, object], text: str
) -> None:
    def change(request: DecodeRequest, decoded: Hypothesis) -> Hypothesis:
        return decoded if request.mode is DecodeMode.PARTIAL else replace(decoded, **bad)  # type: ignore[arg-type]  # fields of Hypothesis

    rehearsal = played(engine=changed(SCRIPT, change))

    assert len(of(DecodeMode.FALLBACK, rehearsal.requests)) == 1
    assert rehearsal.text == text


def test_where_the_engine_fails_the_last_partial_is_the_final() -> None:
    def change(request: DecodeRequest, decoded: Hypothesis) -> Hypothesis | None:
        return decoded if request.mode is DecodeMode.PARTIAL else None

    assert played(engine=changed(SCRIPT, change)).text == "turn on the lights,"


def test_a_final_that_is_not_back_at_the_endpoint_is_waited_for() -> None:
    rehearsal = played(latency_s=0.9)

    assert rehearsal.text == SCRIPT.text
    assert not of(DecodeMode.FALLBACK, rehearsal.requests)


def improbable(decoded: Hypothesis) -> Hypothesis:
    return replace(decoded, avg_logprob=-0.9)


def last_stable(rehearsal: Rehearsal) -> str:
    return [e.stable for e in rehearsal.events if isinstance(e, Partial)][-1]


def test_the_last_word_is_stable_at_the_pause_and_not_at_the_endpoint() -> None:
    rehearsal = played(engine=changed(SCRIPT, lambda _, decoded: improbable(decoded)))
    sent = [e for e in rehearsal.events if isinstance(e, Partial | SpeechEnd)]

    assert last_stable(rehearsal) == "turn on the lights, please"
    assert isinstance(sent[-1], SpeechEnd)


def test_an_improbable_last_word_waits_where_the_words_before_it_are_new() -> None:
    def change(request: DecodeRequest, decoded: Hypothesis) -> Hypothesis:
        return improbable(
            decoded if request.mode is DecodeMode.FINAL else replace(decoded, words=decoded.words[:1])
        )

    rehearsal = played(engine=changed(SCRIPT, change))

    assert last_stable(rehearsal) == "turn"
    assert rehearsal.text == SCRIPT.text


def test_a_decode_of_a_pause_that_is_over_leaves_its_last_word_open() -> None:
    script = Script.of("turn on the\nlights please", pause_s=0.4)
    rehearsal = played(script, latency_s=0.45)
    stable = [e.stable for e in rehearsal.events if isinstance(e, Partial)]

    assert "turn on the" not in stable
    assert rehearsal.text == script.text


def test_speech_goes_on_after_a_last_word_that_is_stable() -> None:
    script = Script.of("turn on the\nlights please", pause_s=0.4)
    rehearsal = played(script)

    assert "turn on the" in [e.stable for e in rehearsal.events if isinstance(e, Partial)]
    assert [f.text for f in rehearsal.finals] == [script.text]


def test_a_loop_in_a_partial_commits_nothing() -> None:
    def change(request: DecodeRequest, decoded: Hypothesis) -> Hypothesis:
        return replace(decoded, compression_ratio=9.0) if request.mode is DecodeMode.PARTIAL else decoded

    rehearsal = played(engine=changed(SCRIPT, change))

    assert [e.stable for e in rehearsal.events if isinstance(e, Partial)] == ["turn on the lights, please"]
    assert rehearsal.text == SCRIPT.text


def test_finalize_in_mid_utterance_gives_its_final_and_the_rest_is_another_segment() -> None:
    session, speech = Session(), SCRIPT.speech()
    rehearsal = Rehearsal(session, ScriptedEngine(SCRIPT))
    for i in range(SCRIPT.length // 512):
        rehearsal.feed(SCRIPT.pcm()[i * 512 : (i + 1) * 512], speech[i : i + 1])
        if i == 58:  # 1.888 s: after "the"
            session.finalize(rehearsal.now_s)
    session.stop(rehearsal.now_s)
    rehearsal.settle()

    assert [f.text for f in rehearsal.finals] == ["turn on the", "lights, please."]
    kinds = [type(e) for e in rehearsal.events if isinstance(e, Final | Finalized)]
    assert kinds == [Final, Finalized, Final]


def test_finalize_with_nothing_open_is_answered_at_once() -> None:
    session = Session()
    session.finalize(0.0)
    session.finalize(0.0)

    assert [e for e in session.events_to_send() if isinstance(e, Finalized)] == [Finalized()] * 2
    assert session.requests_to_run() == []


def test_finalize_keeps_samples_that_have_no_probability_yet() -> None:
    session = Session()
    session.receive_audio(np.zeros(1000, dtype=np.int16), [0.9], 0.0)
    session.finalize(0.0)
    [request] = session.requests_to_run()

    assert (request.start, request.end, request.mode) == (0, 1000, DecodeMode.FINAL)


def test_a_decode_for_the_final_replaces_a_partial_that_was_not_taken() -> None:
    session = Session()
    events_of(session, SCRIPT, 1.5)
    session.finalize(2.0)

    assert [r.mode for r in session.requests_to_run()] == [DecodeMode.FINAL]


def test_a_final_decoded_before_words_were_committed_is_asked_for_again() -> None:
    session, engine, asked = Session(), ScriptedEngine(SCRIPT), list[DecodeRequest]()
    for first, last in ((0, 47), (47, 66), (66, 86)):  # a partial, a second one, and a final at 2.75 s
        pcm, speech = SCRIPT.pcm()[first * 512 : last * 512], SCRIPT.speech()[first:last]
        session.receive_audio(pcm, speech, last * 0.032)
        asked += session.requests_to_run()
        if first == 0:
            session.receive_hypothesis(0, engine(asked[0]), 1.6)
    session.receive_hypothesis(1, engine(asked[1]), 2.8)  # late: commits a word
    session.receive_hypothesis(2, Hypothesis(()), 2.9)  # does not begin with it
    session.finalize(3.0)
    [again] = session.requests_to_run()

    assert [(r.mode, r.prefix) for r in (*asked, again)] == [
        (DecodeMode.PARTIAL, ""),
        (DecodeMode.PARTIAL, ""),
        (DecodeMode.FINAL, ""),
        (DecodeMode.FINAL, " turn"),
    ]


def test_an_answer_older_than_a_received_one_is_ignored() -> None:
    session, engine = Session(), ScriptedEngine(SCRIPT)
    events_of(session, SCRIPT, 1.5)
    [first] = session.requests_to_run()
    session.receive_audio(SCRIPT.pcm()[first.end : first.end + 8704], [0.9] * 17, 2.0)
    [second] = session.requests_to_run()
    session.receive_hypothesis(second.id, engine(second), 2.1)
    before = [e for e in session.events_to_send() if isinstance(e, Partial)]
    session.receive_hypothesis(first.id, engine(first), 2.2)

    assert [e.unstable for e in before] == ["turn on the"]
    assert not [e for e in session.events_to_send() if isinstance(e, Partial)]


def test_an_answer_that_comes_after_its_segment_is_ignored() -> None:
    session, engine = Session(), ScriptedEngine(SCRIPT)
    events_of(session, SCRIPT, 1.5)
    [late] = session.requests_to_run()
    session.finalize(1.5)
    [final] = session.requests_to_run()
    session.receive_hypothesis(final.id, engine(final), 1.6)
    session.receive_audio(SCRIPT.pcm()[:5120], [0.9] * 10, 2.0)
    session.events_to_send()
    session.receive_hypothesis(late.id, engine(late), 2.1)

    assert not [e for e in session.events_to_send() if isinstance(e, Partial)]


def test_an_answer_that_comes_after_a_cut_is_ignored() -> None:
    script = Script.of(" ".join(f"w{i}" for i in range(60)))
    session, engine, at = Session(), ScriptedEngine(script), 0
    finals, asked = list[Final](), list[DecodeRequest]()
    while not finals:
        session.receive_audio(script.pcm()[at : at + 8704], script.speech()[at // 512 : at // 512 + 17], 0.0)
        at += 8704
        asked += session.requests_to_run()
        for request in asked[-2:-1]:  # the one before the newest
            session.receive_hypothesis(request.id, engine(request), 0.0)
        finals = [e for e in session.events_to_send() if isinstance(e, Final)]
    session.receive_hypothesis(asked[-1].id, engine(asked[-1]), 0.0)

    assert asked[-1].segment == 0
    assert not [e for e in session.events_to_send() if isinstance(e, Partial)]


def test_a_request_that_a_cut_made_void_is_not_run() -> None:
    script = Script.of(" ".join(f"w{i}" for i in range(60)))
    session, engine, at = Session(), ScriptedEngine(script), 0
    finals, taken = list[Final](), list[DecodeRequest]()
    while not finals:
        for _ in range(2):  # the request of the first half second is taken, that of the second is not
            session.receive_audio(
                script.pcm()[at : at + 8704], script.speech()[at // 512 : at // 512 + 17], 0.0
            )
            taken = taken or session.requests_to_run()
            at += 8704
        for request in taken:
            session.receive_hypothesis(request.id, engine(request), 0.0)
        taken = []
        finals = [e for e in session.events_to_send() if isinstance(e, Final)]

    assert all(len(session.audio(r)) and r.segment == 1 for r in session.requests_to_run())


def test_half_a_word_that_was_sent_stays_and_the_words_after_it_follow() -> None:
    """The engine hears "six", then knows better: forced to begin with it, it goes on inside the word."""
    script = Script.of("one sixteen kids came home early today")

    def change(request: DecodeRequest, decoded: Hypothesis) -> Hypothesis:
        early = request.end < 2.5 * 16_000
        texts = [" six" if early and w.text == " sixteen" else w.text for w in decoded.words]
        return replace(
            decoded, words=tuple(replace(w, text=t) for w, t in zip(decoded.words, texts, strict=True))
        )

    rehearsal = played(script, engine=changed(script, change))

    assert rehearsal.text == "one six kids came home early today"
    prefixes = [r.prefix for r in rehearsal.requests]
    assert " one six" in prefixes
    assert prefixes[prefixes.index(" one six") + 1] == " one"


def test_audio_does_not_pile_up_behind_a_fallback_that_never_comes() -> None:
    session, engine = Session(), ScriptedEngine(SCRIPT)
    events_of(session, SCRIPT, SCRIPT.length / 16_000)
    [request] = session.requests_to_run()
    session.receive_hypothesis(request.id, replace(engine(request), compression_ratio=9.0), 4.0)
    assert [r.mode for r in session.requests_to_run()] == [DecodeMode.FALLBACK]
    while session.room >= 512:
        session.receive_audio(np.zeros(512, dtype=np.int16), [0.0], 5.0)

    assert held(session) < 34 * 16_000


def test_speech_without_pauses_is_cut_past_6_s_at_a_committed_word() -> None:
    script = Script.of(" ".join(f"w{i}" for i in range(120)))
    rehearsal = played(script)

    assert rehearsal.text == script.text
    assert all(4.0 < f.end_s - f.start_s <= 6.5 for f in rehearsal.finals[:-1])
    assert max(r.end - r.start for r in rehearsal.requests) <= 7.5 * 16_000
    assert [b.start_s for b in rehearsal.finals[1:]] == [a.end_s for a in rehearsal.finals[:-1]]


@pytest.mark.parametrize("off_s", [-0.35, -0.2, 0.2, 0.35])
def test_no_word_is_lost_or_doubled_at_a_cut_where_word_times_are_off(off_s: float) -> None:
    script = Script.of(" ".join(f"w{i}" for i in range(120)))

    def change(request: DecodeRequest, decoded: Hypothesis) -> Hypothesis:
        known = [int(w[1:]) for w in request.prefix.split()]
        found = [int(w.text[2:]) for w in decoded.words]
        spoken = [script.words[i] for i in (*known, *(i for i in found if i > max(known, default=-1)))]
        shift_s = off_s - seconds(request.start)
        words = (
            HypothesisWord(" " + w.text, seconds(w.start) + shift_s, seconds(w.end) + shift_s) for w in spoken
        )
        return replace(decoded, words=tuple(words))

    assert played(script, engine=changed(script, change)).text == script.text


def test_an_overlap_after_which_the_decoder_writes_nothing_is_given_up() -> None:
    overlaps = dict[int, bool]()  # by the window's start: whether its first request forces words

    def change(request: DecodeRequest, decoded: Hypothesis) -> Hypothesis:
        ends_early = overlaps.setdefault(request.start, bool(request.prefix))
        return replace(decoded, words=decoded.words[:2]) if ends_early else decoded

    script = Script.of(" ".join(f"w{i}" for i in range(120)))

    assert played(script, engine=changed(script, change)).text == script.text


def test_words_are_timed_only_for_cuts_where_nobody_wants_their_times() -> None:
    options = SessionOptions(word_times=False)
    script = Script.of(" ".join(f"w{i}" for i in range(60)))
    long = played(script, options=options)

    assert not any(r.word_times for r in played(options=options).requests)
    first = [r for r in long.requests if r.segment == 0 and r.end - r.start > 16_000 * options.cut_s]
    assert {r.word_times for r in first} == {True}
    assert long.text == script.text


def test_without_word_times_a_long_utterance_is_cut_where_a_window_is_full() -> None:
    def change(_: DecodeRequest, decoded: Hypothesis) -> Hypothesis:
        return replace(decoded, words=tuple(replace(w, start_s=None, end_s=None) for w in decoded.words))

    script = Script.of(" ".join(f"w{i}" for i in range(120)))
    rehearsal = played(script, engine=changed(script, change))

    assert max(r.end - r.start for r in rehearsal.requests) == 15 * 16_000
    assert len(rehearsal.finals) == 3
    assert not any(f.words for f in rehearsal.finals)


def test_audio_far_ahead_of_the_engine_is_decoded_in_full_windows() -> None:
    script = Script.of(" ".join(f"w{i}" for i in range(90)))
    rehearsal = Rehearsal(Session(), ScriptedEngine(script), (2.0,)).play(script, [16_000 * 28])

    assert rehearsal.text == script.text
    assert len(rehearsal.requests) <= 4


def test_partials_grow_rarer_while_decodes_take_long() -> None:
    script = Script.of(" ".join(f"w{i}" for i in range(25)))

    assert len(played(script, latency_s=1.4).requests) < len(played(script, latency_s=0.05).requests) / 2


def test_without_partials_only_finals_are_decoded_and_sent() -> None:
    rehearsal = played(options=SessionOptions(partials=False))

    assert [r.mode for r in rehearsal.requests] == [DecodeMode.FINAL]
    assert not any(isinstance(e, Partial) for e in rehearsal.events)
    assert rehearsal.text == SCRIPT.text


def test_a_language_detected_on_two_seconds_of_speech_is_kept() -> None:
    script = Script.of("ja\neins zwei drei vier fünf sechs sieben acht neun\nnein")
    rehearsal = played(script, engine=changed(script, lambda r, decoded: replace(decoded, language="de")))

    assert [f.language for f in rehearsal.finals] == ["de"] * 3
    assert of(DecodeMode.FINAL, rehearsal.requests)[0].language is None
    assert rehearsal.requests[-1].language == "de"


def test_a_session_in_the_place_of_a_lost_one_goes_on_where_that_was() -> None:
    session = Session(at=16_000 * 60, segment=7)
    session.receive_audio(np.zeros(5120, dtype=np.int16), [0.9] * 10, 0.0)

    assert SpeechStart(7, 60.0) in session.events_to_send()
    assert session.keep_from == 16_000 * 60


def test_progress_is_sent_once_a_second() -> None:
    sent = [e for e in played().events if isinstance(e, SessionProgress)]

    assert len(sent) == 4
    assert all(p.keep_from <= samples(p.processed_s) and p.lag_s < 1.2 for p in sent)


def test_lag_does_not_count_a_silence_before_a_late_endpoint() -> None:
    options = SessionOptions(endpoint=EndpointOptions(endpoint_ms=5000), cut_s=9.0)
    script = Script.of("turn on", pause_s=4.0)
    sent = [e for e in played(script, options=options).events if isinstance(e, SessionProgress)]

    assert sent[-1].lag_s < 0.1


def test_nothing_may_come_after_stop() -> None:
    session = Session()
    session.stop(0.0)

    assert session.state is SessionState.DONE
    with pytest.raises(ValueError, match="after stop"):
        session.receive_audio(np.zeros(1, dtype=np.int16), [], 0.0)
    with pytest.raises(ValueError, match="after stop, got finalize"):
        session.finalize(0.0)
    with pytest.raises(ValueError, match="after stop, got stop"):
        session.stop(0.0)


def test_probabilities_of_audio_that_has_not_come_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 1 prob"):
        Session().receive_audio(np.zeros(1023, dtype=np.int16), [0.0, 0.0], 0.0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"cut_s": 16.0}, "cut_s"),
        ({"max_window_s": 31.0}, "max_window_s"),
        ({"max_undecoded_s": 14.0}, "max_u"),
    ],
)
def test_options_that_contradict_one_another_are_named(wrong: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        SessionOptions(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def truncating(script: Script, room: int, half: str) -> Engine:
    """The scripted engine with at most `room` words; the last is half a word, stretched over the rest."""

    def change(request: DecodeRequest, decoded: Hypothesis) -> Hypothesis:
        if len(decoded.words) <= room:
            return decoded
        *words, last = decoded.words[:room]
        stretched = replace(last, text=half, end_s=seconds(request.end - request.start))
        return replace(decoded, words=(*words, stretched), truncated=True)

    return changed(script, change)


@pytest.mark.parametrize("half", [" ?", " t"])
@pytest.mark.parametrize("partials", [True, False])
@pytest.mark.parametrize(("words", "word_s"), [(9, 0.4), (14, 0.4), (40, 0.4), (30, 0.15)])
def test_nothing_of_a_truncated_text_is_lost(words: int, word_s: float, partials: bool, half: str) -> None:
    texts = [f"{chr(97 + i % 26)}{i}" for i in range(words)]
    script = Script.of(" ".join(texts), word_s=word_s, gap_s=0.1)
    rehearsal = played(script, truncating(script, 8, half), SessionOptions(partials=partials))

    assert " ".join(f.text for f in rehearsal.finals).split() == texts
    assert len(rehearsal.finals) > 1
    check_wire(rehearsal.events)
    starts = [f.start_s for f in rehearsal.finals]
    assert starts == sorted(starts)
    assert all(f.end_s <= start_s + 0.001 for f, start_s in zip(rehearsal.finals, starts[1:], strict=False))


def test_a_truncated_text_that_no_word_allows_to_cut_is_final() -> None:
    def change(request: DecodeRequest, decoded: Hypothesis) -> Hypothesis:
        return replace(decoded, words=decoded.words[:1], truncated=True)

    rehearsal = played(engine=changed(SCRIPT, change))

    assert [f.text for f in rehearsal.finals] == ["turn"]


def ending(script: Script) -> Engine:
    """The scripted engine whose texts end with the first sentence in them; its last word is stretched."""

    def change(request: DecodeRequest, decoded: Hypothesis) -> Hypothesis:
        ends = [i for i, w in enumerate(decoded.words) if w.text.endswith(".")]
        if not ends:
            return decoded
        *words, last = decoded.words[: ends[0] + 1]
        stretched = last if last.end_s is None else replace(last, end_s=seconds(request.end - request.start))
        return replace(decoded, words=(*words, stretched))

    return changed(script, change)


@pytest.mark.parametrize("partials", [True, False])
@pytest.mark.parametrize("latency_s", [0.05, 0.7])
def test_speech_after_a_text_that_ends_early_is_not_lost(partials: bool, latency_s: float) -> None:
    texts = [f"w{i}." if i % 40 == 19 else f"w{i}" for i in range(120)]
    script = Script.of(" ".join(texts))
    rehearsal = played(script, ending(script), SessionOptions(partials=partials), latency_s)

    assert rehearsal.text == script.text
    check_wire(rehearsal.events)


def test_a_pause_after_the_last_word_is_not_speech_after_a_text_that_ends_early() -> None:
    script = Script.of(" ".join(f"w{i}" for i in range(8)) + "\nmore", pause_s=4.0)
    options = SessionOptions(endpoint=EndpointOptions(endpoint_ms=5000), cut_s=9.0)

    assert len(played(script, options=options).finals) == 1
