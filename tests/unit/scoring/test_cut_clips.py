"""Clips that are cut: which words are asked for, and which are made up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import Clip
from voxray.scoring.cut_clips import cut, random_cut, score_cut
from voxray.transcript import Word

WORDS = tuple(
    Word(text, k * 0.5, k * 0.5 + 0.4) for k, text in enumerate("turn on the kitchen light".split())
)
CLIP = Clip("a", np.ones(round(2.5 * SAMPLE_RATE), np.int16), "Turn on the kitchen light.")


def test_the_words_wholly_before_the_cut_are_asked_for() -> None:
    between, inside = cut(CLIP, WORDS, 1.45), cut(CLIP, WORDS, 1.6)
    assert (between.clip.text, between.begun) == ("turn on the", "")
    assert (inside.clip.text, inside.begun) == ("turn on the", "kitchen")
    assert inside.clip.duration_s == 1.6


@pytest.mark.parametrize(
    ("hypothesis", "errors", "invented"),
    [
        ("turn on the", 0, 0),
        ("Turn on the kitchen.", 0, 0),
        ("turn on the kit", 1, 0),
        ("turn on the kitchen light", 1, 1),
        ("turn on the kitchen light please", 2, 2),
        ("turn the", 1, 0),
        ("", 3, 0),
    ],
)
def test_the_word_that_is_cut_may_be_written_or_not_and_none_after_it(
    hypothesis: str, errors: int, invented: int
) -> None:
    score = score_cut(cut(CLIP, WORDS, 1.6), hypothesis, "basic")
    assert (score.score.errors.errors, score.invented) == (errors, invented)


def test_all_is_invented_where_no_word_is_left() -> None:
    assert score_cut(cut(CLIP, WORDS[1:], 0.3), "thank you", "basic").invented == 2


@given(st.integers(0, 99))
def test_a_random_cut_keeps_words_in_order_and_half_a_second(seed: int) -> None:
    found = random_cut(CLIP, WORDS, np.random.default_rng(seed))
    kept = found.clip.text.split()
    assert 0.5 <= found.clip.duration_s <= CLIP.duration_s
    assert kept == [w.text for w in WORDS][: len(kept)]
    assert found.begun in ("", WORDS[min(len(kept), 4)].text)
