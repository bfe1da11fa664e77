"""The paired bootstrap: what it must say whatever the counts, and the sentence that is made of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.scoring.metrics import bootstrap_interval
from voxray.scoring.paired import Improvement, headline, paired_bootstrap
from voxray.text import ErrorCounts

PAIRS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20)


def counts(pairs: list[tuple[int, int, int]]) -> tuple[list[ErrorCounts], list[ErrorCounts]]:
    return [ErrorCounts(n, a) for n, a, _ in pairs], [ErrorCounts(n, b) for n, _, b in pairs]


@given(PAIRS)
def test_the_improvement_from_b_to_a_is_that_from_a_to_b_reversed(pairs: list[tuple[int, int, int]]) -> None:
    a, b = counts(pairs)
    forth, back = paired_bootstrap(a, b), paired_bootstrap(b, a).reversed()
    for name in ("reduction", "low", "high", "probability"):
        assert getattr(forth, name) == pytest.approx(getattr(back, name), abs=1e-9)


@given(PAIRS, st.integers(0, 3))
def test_a_model_is_not_better_than_itself(pairs: list[tuple[int, int, int]], seed: int) -> None:
    a, _ = counts(pairs)
    assert paired_bootstrap(a, a, seed=seed) == Improvement(0.0, 0.0, 0.0, 0.5)


def test_a_model_that_is_better_on_every_clip_is_better_for_certain() -> None:
    a, b = counts([(10, k % 5 + 2, k % 5) for k in range(30)])
    found = paired_bootstrap(a, b)
    assert found.reduction == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2)
    assert found.probability == 1.0
    assert found.significant


def test_pairs_tell_what_intervals_of_each_model_alone_do_not() -> None:
    a, b = counts([(10, 10 * (k % 2), 10 * (k % 2) - (k % 4 == 1)) for k in range(40)])
    found = paired_bootstrap(a, b)
    assert bootstrap_interval(b)[1] > bootstrap_interval(a)[0]  # the intervals overlap
    assert found.significant
    assert 0 < found.low <= found.reduction <= found.high


def test_counts_of_other_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="expected counts of the same clips, got 1 and 2"):
        paired_bootstrap([ErrorCounts(1)], [ErrorCounts(1)] * 2)


def test_the_headline_names_the_better_model_first() -> None:
    gain = Improvement(0.012, 0.004, 0.02, 0.985)
    better = "B is better than A by 1.2 points WER (95 % interval 0.4 to 2.0; p = 0.98)."
    assert headline("A", "B", gain) == better
    assert headline("B", "A", gain.reversed()) == better


def test_the_headline_says_where_the_clips_do_not_tell() -> None:
    assert headline("A", "B", Improvement(0.002, -0.01, 0.014, 0.61), "CER") == (
        "These clips do not tell B and A apart: B is ahead by 0.2 points CER "
        "(95 % interval -1.0 to 1.4; p = 0.61)."
    )


def test_a_probability_near_one_is_not_written_as_one() -> None:
    assert "p > 0.99" in headline("A", "B", Improvement(0.1, 0.05, 0.2, 1.0))
