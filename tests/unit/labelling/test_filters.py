"""The filter: strict, exact, monotone, by words or characters, and without references."""

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.labelling.filters import (
    Evidence,
    FilterOptions,
    count_reasons,
    keep_mask,
    reason_against,
)

CLEAN = Evidence(
    pseudo_text="turn on the light",
    language="en",
    task="transcribe",
    no_speech=False,
    reference_length=10,
    substitutions=1,
    deletions=0,
    insertions=0,
    avg_logprob=-0.2,
    no_speech_prob=0.01,
    compression_ratio=0.9,
    chars_per_s=12.0,
)
FREE = replace(CLEAN, reference_length=None)


def kept(clip: Evidence, threshold: float | None = None) -> bool:
    return reason_against(clip, FilterOptions(wer_threshold=threshold)) is None


def counted(reference: int, errors: int) -> Evidence:
    return replace(CLEAN, reference_length=reference, substitutions=errors)


@given(st.integers(1, 300), st.integers(0, 400), st.integers(0, 100))
def test_kept_iff_the_error_rate_is_strictly_below_the_threshold(
    reference: int, errors: int, threshold: int
) -> None:
    assert kept(counted(reference, errors), threshold) == (100 * errors < threshold * reference)


def test_a_rate_equal_to_the_threshold_is_dropped_though_floats_say_it_is_less() -> None:
    assert 100 * (29 / 100) < 29
    assert not kept(counted(100, 29), 29)


@given(st.integers(0, 30), st.integers(0, 40), st.floats(0, 200), st.floats(0, 200))
def test_a_higher_threshold_never_drops_more(reference: int, errors: int, a: float, b: float) -> None:
    clip = counted(reference, errors)
    assert kept(clip, max(a, b)) >= kept(clip, min(a, b))
    assert kept(clip, None) >= kept(clip, max(a, b))


def test_an_empty_reference_is_dropped_whatever_the_threshold() -> None:
    assert not kept(counted(0, 0), None)
    assert not kept(counted(0, 0), 50)


def test_a_clip_without_speech_is_kept_iff_the_teacher_gave_no_words() -> None:
    silent = replace(CLEAN, no_speech=True, reference_length=0, pseudo_text=" ")
    assert kept(silent, 10)
    assert not kept(replace(silent, pseudo_text="thank you"), None)


@pytest.mark.parametrize(
    "bad",
    [
        replace(FREE, pseudo_text=" "),
        replace(FREE, avg_logprob=-1.01),
        replace(FREE, compression_ratio=2.41),
        replace(FREE, no_speech_prob=0.61),
        replace(FREE, chars_per_s=31.0),
        replace(FREE, pseudo_text="a b c d e " * 2),
        replace(FREE, pseudo_text="一二三四五一二三四五", language="zh"),
    ],
)
def test_without_a_reference_each_bound_drops(bad: Evidence) -> None:
    assert not kept(bad)
    assert kept(replace(bad, reference_length=5))  # a reference says more


def test_without_a_reference_values_on_the_bounds_are_kept() -> None:
    assert kept(
        replace(FREE, avg_logprob=-1.0, compression_ratio=2.4, no_speech_prob=0.6, chars_per_s=30.0), 5
    )
    assert kept(replace(FREE, no_speech_prob=None))


def test_a_bound_of_none_is_off() -> None:
    options = FilterOptions(
        min_avg_logprob=None,
        max_compression_ratio=None,
        max_no_speech_prob=None,
        max_chars_per_s=None,
        max_repeated_ngrams=None,
    )
    bad = replace(FREE, avg_logprob=-9, compression_ratio=9, no_speech_prob=1, chars_per_s=99)
    assert reason_against(replace(bad, pseudo_text="a b c d e " * 9), options) is None


def test_tables_give_masks_and_reasons_row_by_row() -> None:
    good = {
        **{
            "pseudo_text": "a b",
            "language": "en",
            "task": "transcribe",
            "no_speech": False,
            "text": "a b",
            "reference_length": 2,
        },
        **{"substitutions": 0, "deletions": 0, "insertions": 0, "avg_logprob": -0.1, "no_speech_prob": 0.0},
        **{"compression_ratio": 1.0, "chars_per_s": 9.0},
    }
    unheard = good | {"text": None, "avg_logprob": -2.0, "reference_length": None}
    looped = unheard | {
        "avg_logprob": -0.1,
        "pseudo_text": "a b c d e " * 2,
        "language": "zh",
        "task": "translate",
    }
    table = pa.Table.from_pylist([good, good | {"deletions": 1}, unheard, looped])
    options = FilterOptions(wer_threshold=20)
    assert keep_mask(table, options) == [True, False, False, False]
    assert count_reasons(table, options) == {"error rate": 1, "log-probability": 1, "repeated 5-grams": 1}
