"""A session on a virtual clock, with an engine that knows the script."""

from itertools import count

import numpy as np
import pytest
from tests.scripted_engine import Script, ScriptedDetector, ScriptedEngine

from voxray.audio import Pcm
from voxray.scoring.live import LiveScore, TimedEvent, changed_places, latencies_s, live_score, play_live
from voxray.streaming.events import DecodeRequest, Final, Hypothesis, Partial
from voxray.transcript import Word

SCRIPT = Script.of("turn on the lights please\nit is nine in the morning\nthank you", pause_s=1.5)


def played(script: Script, decode_s: float, fails: bool = False) -> LiveScore:
    """The score of `script`, of which each decode takes `decode_s` by the clock."""
    engine = ScriptedEngine(script)
    readings = count()

    def decode(request: DecodeRequest, pcm: Pcm) -> Hypothesis | None:
        assert len(pcm) == request.end - request.start
        return None if fails else engine(request)

    # The clock is read before and after each decode.
    clock = lambda: decode_s * next(readings)  # noqa: E731  # a name for what is an argument
    return play_live(script.pcm(), "en", ScriptedDetector().probabilities, decode, clock)


@pytest.mark.parametrize("decode_s", [0.0, 0.05, 0.7, 3.0])
def test_all_words_are_heard_however_long_a_decode_takes(decode_s: float) -> None:
    score = played(SCRIPT, decode_s)
    assert score.texts == (SCRIPT.text,)
    assert len(score.latencies_s) == len(SCRIPT.words)
    assert score.decodes > 0


def test_speech_without_a_pause_is_heard_beyond_its_first_cut() -> None:
    script = Script.of(" ".join(f"word{n}" for n in range(60)))
    assert played(script, 0.05).texts == (script.text,)


def test_words_come_later_and_fewer_decodes_are_run_where_each_takes_longer() -> None:
    quick, slow = played(SCRIPT, 0.02), played(SCRIPT, 1.0)
    assert quick.decodes > slow.decodes
    for share in (0.5, 0.95):
        fast_s, slow_s = quick.latency_s(share), slow.latency_s(share)
        assert fast_s is not None
        assert slow_s is not None
        assert 0.0 <= fast_s < slow_s


def test_a_session_ends_though_every_decode_fails() -> None:
    score = played(SCRIPT, 0.05, fails=True)
    assert score.texts == ("",)
    assert score.latencies_s == ()
    assert score.latency_s(0.5) is None


def test_a_word_is_committed_by_the_first_partial_that_has_all_of_it() -> None:
    words = (Word("Turn", 0.0, 0.2), Word("on.", 0.3, 0.5), Word("Now", 0.6, 0.8))
    final = Final(0, 0.0, 1.0, "Turn on. Now", words=words)
    partials = [(1.0, Partial(0, 0.0, 1.0, "Turn o", "n")), (2.0, Partial(0, 0.0, 1.0, "Turn on.", " Now"))]
    assert latencies_s(final, 3.0, partials) == pytest.approx([0.8, 1.5, 2.2])


def test_a_place_has_changed_if_another_word_was_ever_shown_there() -> None:
    assert changed_places("Turn on the light.", ["turn", "turn off", "turn on the lights now"]) == [
        False,
        True,
        False,
        True,
        True,
    ]
    assert changed_places("Turn on", ["turn,", "Turn on"]) == [False, False]
    assert changed_places("", ["thank"]) == [True]


def test_segments_are_scored_apart_and_sessions_are_added() -> None:
    def segment(number: int, shown: str, text: str) -> list[TimedEvent]:
        words = tuple(Word(word, 0.0, 1.0) for word in text.split())
        return [
            TimedEvent(2.0, Partial(number, 0.0, 1.0, "", shown)),
            TimedEvent(3.0, Final(number, 0.0, 1.0, text, words=words)),
        ]

    score = live_score([*segment(0, "one", "one two"), *segment(1, "four", "three")])
    assert score == LiveScore(("one two three",), (2.0, 2.0, 2.0), shown=3, changed=1)
    both = score + score
    assert both.texts == ("one two three",) * 2
    assert both.changed_share == pytest.approx(1 / 3)
    assert np.isclose(both.latency_s(0.95) or 0.0, 2.0)
