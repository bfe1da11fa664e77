from pathlib import Path

import numpy as np
import pytest
from tests.benchmarks.endpoint import ENDPOINTS, name_of, outcome
from tests.benchmarks.pauses import Recording, quietest, spaced, trimmed

from voxray.audio import SAMPLE_RATE, Pcm, encode
from voxray.scoring.live import TimedEvent
from voxray.streaming.events import Final, SpeechEnd, SpeechStart
from voxray.transcript import Word


def tone(seconds: float) -> Pcm:
    samples: Pcm = (8_000 * np.sin(np.arange(round(seconds * SAMPLE_RATE)) * 0.2)).astype(np.int16)
    return samples


def test_an_endpoint_before_the_last_is_a_false_cut_and_a_cut_in_speech_is_none() -> None:
    events = [
        TimedEvent(0.5, SpeechStart(0, 0.5)),
        TimedEvent(7.0, SpeechEnd(0, 6.0)),
        TimedEvent(7.0, Final(0, 0.5, 6.0, "one")),
        TimedEvent(7.0, SpeechStart(1, 6.0)),
        TimedEvent(8.6, SpeechEnd(1, 8.0)),
        TimedEvent(8.7, Final(1, 6.0, 8.0, "two")),
        TimedEvent(8.9, SpeechStart(2, 8.9)),
        TimedEvent(10.6, SpeechEnd(2, 10.0)),
        TimedEvent(10.75, Final(2, 8.9, 10.0, "three")),
    ]

    cuts, final_s, text = outcome(events)

    assert (cuts, text) == (1, "one two three")
    assert final_s == pytest.approx(0.75)


def test_endpoints_have_names_of_their_own() -> None:
    assert len({name_of(endpoint) for endpoint in ENDPOINTS}) == len(ENDPOINTS)


def test_a_pause_is_put_where_it_is_quiet_between_two_words(tmp_path: Path) -> None:
    spoken = np.concatenate([tone(0.5), np.zeros(1_600, np.int16), tone(0.5)])
    (tmp_path / "a.flac").write_bytes(encode(spoken))
    recording = Recording("halves", (tmp_path / "a.flac",))
    made, again = (recording.pcm(lambda pcm: (Word("a", 0.0, 0.5), Word("b", 0.62, 1.1))) for _ in range(2))

    assert made is not None
    assert again is not None
    assert abs(quietest(spoken, 0.44, 0.68) / SAMPLE_RATE - 0.55) < 0.05
    pause_s = len(made) / SAMPLE_RATE - len(trimmed(spoken)) / SAMPLE_RATE - 2.3
    assert 0.3 <= pause_s <= 1.2
    assert np.array_equal(made, again)
    assert recording.pcm(lambda pcm: (Word("a", 0.0, 0.5),)) is None


def test_what_is_before_and_after_speech_is_left_out() -> None:
    silence = np.zeros(8_000, np.int16)
    padded = spaced([np.concatenate([silence, tone(0.5), silence])], np.random.default_rng(0))

    assert abs(len(trimmed(padded)) - 8_000) < 100
