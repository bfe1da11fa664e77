"""Cut clips, and windows of several."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model.variants import (
    cut,
    cut_at_random,
    cut_at_word,
    join,
    segment_times,
    several_in_a_window,
    silence,
)

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import Clip
from voxray.errors import CorpusError
from voxray.transcript import Segment, Word
from voxray.whisper.engines import DecodingResult

SEEDS = st.integers(0, 2**32 - 1)
LENGTHS_S = st.lists(st.floats(0.5, 29.0), max_size=20)


def clip_of(seconds: float, id: str = "a", words: tuple[Word, ...] = ()) -> Clip:
    pcm = np.full(round(seconds * SAMPLE_RATE), 7, dtype=np.int16)
    return Clip(id, pcm, " ".join(w.text for w in words) or f"text {id}", "ann", "en", words)


THREE = clip_of(3.0, words=(Word("one", 0.2, 0.8), Word("two", 1.0, 1.7), Word("three", 2.0, 2.9)))


def result(*segments: Segment, text: str = "") -> DecodingResult:
    return DecodingResult(text, "en", (), segments, (), -0.1, 0.0, 1.0)


@pytest.mark.parametrize(
    ("end_s", "text"), [(0.79, ""), (0.8, "one"), (1.69, "one"), (1.7, "one two"), (3.0, "one two three")]
)
def test_a_cut_clip_keeps_the_words_wholly_inside(end_s: float, text: str) -> None:
    short = cut(THREE, end_s)
    assert short.text == text == " ".join(w.text for w in short.words)
    assert short.duration_s == pytest.approx(end_s)


@given(SEEDS)
def test_a_cut_at_a_word_ends_with_that_word(seed: int) -> None:
    short = cut_at_word(THREE, np.random.default_rng(seed))
    assert short.words
    assert short.duration_s == pytest.approx(short.words[-1].end_s)


@given(SEEDS)
def test_a_random_cut_repeats_with_its_seed_and_never_hands_out_half_a_word(seed: int) -> None:
    short = cut_at_random(THREE, np.random.default_rng(seed))
    assert short.id == cut_at_random(THREE, np.random.default_rng(seed)).id
    assert THREE.duration_s / 4 - 1e-4 <= short.duration_s <= THREE.duration_s
    assert all(w.end_s <= short.duration_s + 1e-4 for w in short.words)


@pytest.mark.parametrize("cutting", [cut_at_random, cut_at_word])
def test_a_clip_without_word_times_cannot_be_cut(cutting: object) -> None:
    assert callable(cutting)
    with pytest.raises(CorpusError, match="a: expected a clip with word times"):
        cutting(clip_of(2.0), np.random.default_rng(0))


@given(LENGTHS_S, SEEDS)
def test_windows_last_10_to_30_s_and_keep_clips_in_order_with_pauses_between(
    lengths_s: list[float], seed: int
) -> None:
    clips = [clip_of(s, str(i)) for i, s in enumerate(lengths_s)]
    windows = several_in_a_window(clips, np.random.default_rng(seed))
    texts = [s.text for w in windows for s in w.segments]
    assert texts == sorted(set(texts), key=lambda t: int(t.split()[1]))
    for window in windows:
        assert 10.0 <= window.duration_s <= 30.0
        assert window.text == " ".join(s.text for s in window.segments)
        assert window.segments[-1].end_s == pytest.approx(window.duration_s)
        for left, right in pairwise(window.segments):
            assert 0.3 - 1e-3 <= right.start_s - left.end_s <= 2.0 + 1e-3


def test_a_joined_window_has_its_clips_where_its_segments_say() -> None:
    window = join([clip_of(1.0, "0"), silence(0.5), clip_of(2.0, "1")])
    assert [(s.start_s, s.end_s, s.text) for s in window.segments] == [
        (0.0, 1.0, "text 0"),
        (1.5, 3.5, "text 1"),
    ]
    assert not window.pcm[16_000:24_000].any()
    assert window.pcm[24_000:].all()


def test_segment_times_are_compared_only_where_their_number_matches() -> None:
    truth = replace(clip_of(4.0), segments=(Segment(0.0, 1.0, "a"), Segment(2.0, 4.0, "b")))
    near = result(Segment(0.1, 1.0, "a"), Segment(2.3, 3.8, "b"))
    found = segment_times([truth, truth], [near, result(Segment(0.0, 4.0, "a b"))])
    assert [found.start_s, found.end_s] == pytest.approx([0.2, 0.1])
    assert (found.matched, found.windows) == (1, 2)


def test_segment_times_without_a_match_are_unknown() -> None:
    found = segment_times([replace(clip_of(4.0), segments=(Segment(0.0, 1.0, "a"),))], [result()])
    assert math.isnan(found.start_s)
    assert found.matched == 0
