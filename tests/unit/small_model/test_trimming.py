from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model.synthesis.trimming import audible, trim, words_from

from voxray.audio import SAMPLE_RATE, Pcm
from voxray.transcript import Word


def tone(*spans_s: tuple[float, float], length_s: float) -> Pcm:
    """A 400 Hz tone in `spans_s`, silence elsewhere."""
    t_s = np.arange(int(length_s * SAMPLE_RATE)) / SAMPLE_RATE
    on = np.any([(t_s >= a) & (t_s < b) for a, b in spans_s], axis=0)
    return np.asarray(8000 * np.sin(2 * np.pi * 400 * t_s) * on, dtype=np.int16)


def test_audible_frames_are_those_of_the_tone() -> None:
    sound = audible(tone((0.2, 0.5), length_s=1.0))
    assert np.flatnonzero(sound).tolist() == list(range(20, 50))


def test_word_ends_at_the_next_start_or_before_a_pause() -> None:
    pcm = tone((0.1, 0.6), (1.0, 1.3), length_s=2.0)
    words = words_from(pcm, "one two three", [0.1, 0.3, 1.0])
    assert [w.end_s for w in words] == pytest.approx([0.3, 0.6, 1.3])


def test_short_closure_belongs_to_its_word() -> None:
    pcm = tone((0.1, 0.35), (0.4, 0.8), length_s=1.0)
    assert words_from(pcm, "eight two", [0.1, 0.4])[0].end_s == pytest.approx(0.4)


@pytest.mark.parametrize("starts_s", [[0.1], [0.3, 0.1], [0.1, 0.1], [0.1, 2.5], []])
def test_no_words_where_starts_do_not_fit_the_tokens(starts_s: list[float]) -> None:
    assert words_from(tone((0.1, 0.8), length_s=1.0), "one two", starts_s) == ()


@given(st.integers(0, 10_000), st.floats(0, 1.5), st.floats(0, 1.5))
def test_trim_leaves_50_to_300_ms_and_moves_words_with_the_sound(
    seed: int, before_s: float, after_s: float
) -> None:
    start_s = round(before_s, 2)
    pcm = tone((start_s, start_s + 0.5), length_s=start_s + 0.5 + after_s)
    out, (word,) = trim(pcm, (Word("one", start_s, start_s + 0.5),), Random(seed))
    first, last = np.flatnonzero(audible(out))[[0, -1]] * 0.01
    assert 0.03 <= first <= 0.32
    assert 0.03 <= len(out) / SAMPLE_RATE - last - 0.01 <= 0.33
    assert word.start_s == pytest.approx(first, abs=0.021)


def test_trim_of_silence_is_empty() -> None:
    assert len(trim(np.zeros(16_000, np.int16), (), Random(0))[0]) == 0
