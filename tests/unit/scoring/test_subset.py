"""Subsets of a corpus, and recordings made of its clips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import Clip
from voxray.scoring.subset import PauseRange, recordings, spread

PAUSES = PauseRange(0.5, 1.0)


def clip_of(index: int, seconds: float = 2.0, language: str = "en", text: str | None = None) -> Clip:
    pcm = np.full(round(seconds * SAMPLE_RATE), index + 1, np.int16)
    return Clip(str(index), pcm, f"word{index}" if text is None else text, language=language)


@given(st.integers(0, 30), st.integers(1, 40))
def test_clips_are_spread_evenly_and_each_is_taken_once(count: int, most: int) -> None:
    chosen = [int(clip.id) for clip in spread([clip_of(i, 0.01) for i in range(count)], most)]
    assert len(chosen) == len(set(chosen)) == min(count, most)
    steps = np.diff(chosen)
    assert not len(steps) or (steps.min() > 0 and steps.max() - steps.min() <= 1)


def test_clips_without_words_or_longer_than_a_window_are_not_taken() -> None:
    assert [c.id for c in spread([clip_of(0, text=" "), clip_of(1, 31.0), clip_of(2)], 5)] == ["2"]


def test_clips_of_a_language_are_joined_with_silence_after_each() -> None:
    clips = [clip_of(0), clip_of(1, language="zh", text="打开"), clip_of(2)]
    english, chinese = recordings(clips, 9, PAUSES, np.random.default_rng(0))
    assert (english.text, english.language) == ("word0 word2", "en")
    assert (chinese.text, chinese.language) == ("打开", "zh")
    silent = int((english.pcm == 0).sum()) / SAMPLE_RATE
    assert 1.0 <= silent <= 2.0
    assert english.duration_s == pytest.approx(4.0 + silent)
    assert english.pcm[-1] == 0


def test_recordings_end_before_they_grow_too_long_and_are_the_same_each_time() -> None:
    clips = [clip_of(i) for i in range(5)]
    found, again = (recordings(clips, 5, PAUSES, np.random.default_rng(3), max_s=4.5) for _ in range(2))
    assert [r.text for r in found] == ["word0 word1", "word2 word3", "word4"]
    assert all(np.array_equal(a.pcm, b.pcm) for a, b in zip(found, again, strict=True))


def test_recordings_that_would_take_too_long_are_left_out_but_for_the_first() -> None:
    rng = np.random.default_rng(0)
    assert [c.id for c in recordings([clip_of(i, 250.0) for i in range(4)], 4, PAUSES, rng)] == ["0", "1"]
    assert [c.id for c in recordings([clip_of(0, 700.0), clip_of(1, 31.0)], 4, PAUSES, rng)] == ["0"]


def test_a_corpus_with_long_recordings_has_its_own() -> None:
    clips = [clip_of(0), clip_of(1, 31.0), clip_of(2, 32.0)]
    assert [c.id for c in recordings(clips, 1, PAUSES, np.random.default_rng(0))] == ["1"]
