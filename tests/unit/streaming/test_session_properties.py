"""What holds of a session whatever the chunks, the clock and the engine: serving.md, section 1."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scripted_engine import Rehearsal, Script, ScriptedEngine, ScriptedWord, held

from voxray.audio.constants import SAMPLE_RATE
from voxray.streaming.agreement import Policy
from voxray.streaming.endpoint import EndpointOptions
from voxray.streaming.events import (
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
)
from voxray.streaming.options import SessionOptions
from voxray.streaming.session import Session, SessionState

CHUNKS = st.lists(st.sampled_from([1, 37, 512, 513, 1600, 16_000, 48_000]), max_size=3).map(
    lambda c: [*c, 2500]
)
LATENCIES_S = st.lists(st.floats(0, 3), min_size=1, max_size=5)
VOCABULARY = "six seven sixteen seventy teen Light, light lights. the The".split()
OPTIONS = st.builds(
    SessionOptions,
    endpoint=st.builds(
        EndpointOptions,
        endpoint_ms=st.sampled_from([300, 600, 2000]),
        min_endpoint_ms=st.sampled_from([None, 300]),
    ),
    policy=st.sampled_from(Policy),
    partials=st.booleans(),
    cut_s=st.sampled_from([2.0, 8.0]),
    max_window_s=st.sampled_from([9.0, 15.0]),
)


@st.composite
def scripts(draw: st.DrawFn, longest: int = 12) -> Script:
    """A few utterances of distinct words; pauses between utterances are longer than any endpoint."""
    words, at = list[ScriptedWord](), draw(st.integers(0, 20_000))
    for _ in range(draw(st.integers(1, 3))):
        for _ in range(draw(st.integers(1, longest))):
            length = draw(st.integers(1_600, 12_000))
            words.append(ScriptedWord(f"word{len(words)}", at, at + length))
            at += length + draw(st.integers(0, 6_000))
        at += draw(st.integers(50_000, 60_000))
    return Script(tuple(words), at)


def check_wire(events: Sequence[Event], first: int = 0) -> None:
    """Segments one after another, each whole; what was stable stays, byte for byte, to the end."""
    segment, stable, state = first - 1, "", "idle"
    for event in events:
        if isinstance(event, SpeechStart):
            assert state == "idle"
            segment, stable, state = segment + 1, "", "open"
        elif isinstance(event, Partial):
            assert state == "open"
            assert event.stable.startswith(stable)
            assert event.stable == event.stable.strip()
            stable = event.stable
        elif isinstance(event, SpeechEnd):
            assert state == "open"
            state = "ended"
        elif isinstance(event, Final):
            assert state == "ended"
            assert event.text.startswith(stable)
            assert event.start_s <= event.end_s
            assert not event.words or " ".join(w.text for w in event.words) == event.text
            state = "idle"
        elif isinstance(event, Finalized | Done):
            assert state == "idle"
        if not isinstance(event, Finalized | Done | SessionProgress):
            assert event.segment == segment
    assert state == "idle"
    assert isinstance(events[-1], Done)
    assert events[-1].segments == segment + 1


@given(scripts(), CHUNKS, LATENCIES_S, OPTIONS)
def test_texts_do_not_depend_on_chunks_or_latency(
    script: Script, chunks: list[int], latencies_s: list[float], options: SessionOptions
) -> None:
    played = Rehearsal(Session(options), ScriptedEngine(script), latencies_s).play(script, chunks)

    assert played.text == script.text
    check_wire(played.events)


@given(scripts(longest=6), CHUNKS, LATENCIES_S)
def test_finals_of_short_utterances_are_the_same_to_the_sample(
    script: Script, chunks: list[int], latencies_s: list[float]
) -> None:
    options = SessionOptions(cut_s=12.0)
    reference = Rehearsal(Session(options), ScriptedEngine(script)).play(script)
    played = Rehearsal(Session(options), ScriptedEngine(script), latencies_s).play(script, chunks)

    assert played.finals == reference.finals


class Babbler:
    """Says anything: its own words, the prefix and more, or more inside the prefix's last word; or fails."""

    def __init__(self, choices: Sequence[int]) -> None:
        self.choices = cycle(choices)

    def __call__(self, request: DecodeRequest) -> Hypothesis | None:
        kind = next(self.choices) % 8
        if kind == 0:
            return None
        prefix = request.prefix.split(" ")[1:] if kind > 1 else []
        if kind == 2 and prefix:
            prefix[-1] += "teen"
        texts = [*prefix, *self.more()]
        hypothesis = Hypothesis(self.timed(texts, request))
        if next(self.choices) % 6 == 0:
            return replace(hypothesis, avg_logprob=-2.0, no_speech_prob=float(kind > 4))
        return replace(hypothesis, compression_ratio=1.0 if next(self.choices) % 6 else 3.0)

    def more(self) -> list[str]:
        return [VOCABULARY[next(self.choices) % len(VOCABULARY)] for _ in range(next(self.choices) % 6)]

    def timed(self, texts: list[str], request: DecodeRequest) -> tuple[HypothesisWord, ...]:
        """Times that may be missing, late, backwards or outside the window."""
        length_s, kind = (request.end - request.start) / SAMPLE_RATE, next(self.choices) % 4
        if kind == 0:
            return tuple(HypothesisWord(" " + t) for t in texts)
        step_s = length_s / max(1, len(texts)) if kind < 3 else (next(self.choices) % 9 - 3) * 0.7
        return tuple(HypothesisWord(" " + t, i * step_s, (i + 1) * step_s, 0.9) for i, t in enumerate(texts))


@settings(max_examples=150)
@given(
    scripts(),
    CHUNKS,
    LATENCIES_S,
    OPTIONS,
    st.lists(st.integers(0, 2**16), min_size=1, max_size=80),
)
def test_no_stable_word_is_lost_doubled_or_changed_with_any_engine(
    script: Script, chunks: list[int], latencies_s: list[float], options: SessionOptions, choices: list[int]
) -> None:
    played = Rehearsal(Session(options), Babbler(choices), latencies_s).play(script, chunks)

    assert played.done
    check_wire(played.events)


@settings(max_examples=100)
@given(scripts(longest=25), OPTIONS, st.lists(st.integers(0, 2**16), min_size=10, max_size=80))
def test_answers_may_come_in_any_order_twice_or_for_what_was_never_asked(
    script: Script, options: SessionOptions, choices: list[int]
) -> None:
    session, babbler, choice = Session(options), Babbler(choices), cycle(choices)
    asked, events = list[DecodeRequest](), list[Event]()
    pcm, speech = script.pcm(), script.speech()
    at = now_s = 0

    def answer() -> None:
        number = next(choice) % (len(asked) + 1)
        hypothesis = babbler(asked[number]) if number < len(asked) else Hypothesis(())
        if hypothesis and next(choice) % 5:
            session.receive_hypothesis(number, hypothesis, now_s)
        elif next(choice) % 2:
            session.receive_failure(number, now_s)
        else:
            session.receive_failure(number, now_s)

    while session.state is not SessionState.DONE:
        size = min(512 * (1 + next(choice) % 40), len(pcm) - at, session.room // 512 * 512)
        if at < len(pcm) and size > 0:
            session.receive_audio(pcm[at : at + size], speech[at // 512 : (at + size) // 512], now_s)
            at += size
            if next(choice) % 7 == 0:
                session.finalize(now_s)
        if at == len(pcm) and session.state is SessionState.OPEN:
            session.stop(now_s)
        answer()
        stuck = session.state is SessionState.STOPPING or session.room < 512
        if stuck or next(choice) % 3:
            taken = session.requests_to_run()
            assert all(len(session.audio(r)) == r.end - r.start for r in taken)
            asked += taken
        events += session.events_to_send()
        if asked and stuck:
            session.receive_failure(asked[-1].id, now_s)  # else the choices might never come to it
            asked += session.requests_to_run()
            events += session.events_to_send()
        now_s += 1

    check_wire(events)


@given(scripts(), st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 3))
def test_finalize_is_answered_once_each_after_its_finals(
    script: Script, every: list[int], twice: int
) -> None:
    played = Rehearsal(Session(), ScriptedEngine(script), (0.4,))
    pcm, speech = script.pcm(), script.speech()
    gaps, flushed, next_at = cycle(every), 0, 0
    for frame in range(len(pcm) // 512):
        played.feed(pcm[frame * 512 : (frame + 1) * 512], speech[frame : frame + 1])
        if frame == next_at:
            next_at += next(gaps)
            for _ in range(1 + twice):
                played.session.finalize(played.now_s)
                flushed += 1
    played.session.stop(played.now_s)
    played.settle()

    assert sum(isinstance(e, Finalized) for e in played.events) == flushed
    check_wire(played.events)


@given(scripts(longest=40), CHUNKS, st.sampled_from([0.0, 0.5, 4.0, 60.0]))
def test_memory_is_bounded_however_late_the_engine_is(
    script: Script, chunks: list[int], latency_s: float
) -> None:
    options = SessionOptions()
    chunks = [min(c, 16_000) for c in chunks]
    pcm, speech = script.pcm(), script.speech()
    played = Rehearsal(Session(options), ScriptedEngine(script), (latency_s,))
    sizes, at, most = cycle(chunks), 0, 0
    while at < len(pcm):
        size = min(next(sizes), len(pcm) - at)
        played.feed(pcm[at : at + size], speech[at // 512 : (at + size) // 512])
        most, at = max(most, held(played.session)), at + size

    silence_s = options.endpoint.endpoint_ms / 1000 + 1.0
    bound_s = options.max_window_s + options.max_undecoded_s + silence_s
    assert most <= (bound_s + 1) * SAMPLE_RATE  # one chunk is kept whole


def test_an_hour_of_silence_holds_no_audio_and_asks_for_nothing() -> None:
    session = Session()
    second, quiet = np.zeros(15_872, dtype=np.int16), [0.05] * 31
    for i in range(3600):
        session.receive_audio(second, quiet, float(i))
        session.events_to_send()
        assert session.requests_to_run() == []
        assert held(session) <= 2 * len(second)
        assert session.keep_from >= (i + 1) * len(second) - 4800


def test_an_engine_that_never_answers_stops_the_flow_and_loses_nothing() -> None:
    script = Script.of("\n".join(["one two three"] * 40))
    session, pcm, speech = Session(), script.pcm(), script.speech()
    at = 0
    while session.room >= 512 and at + 512 <= len(pcm):
        session.receive_audio(pcm[at : at + 512], speech[at // 512 : at // 512 + 1], at / SAMPLE_RATE)
        at += 512

    assert 30 * SAMPLE_RATE <= at <= 33 * SAMPLE_RATE
    with pytest.raises(ValueError, match="room"):
        session.receive_audio(pcm[:16_000], [], at / SAMPLE_RATE)
