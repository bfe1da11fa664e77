from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.training.schedule import Schedule, rate

FALLING: tuple[Schedule, ...] = ("linear", "cosine", "polynomial")
floors = st.floats(0, 0.9)


@pytest.mark.parametrize("schedule", [*FALLING, "constant"])
def test_rises_in_a_line_over_the_warm_up_to_the_peak(schedule: Schedule) -> None:
    assert [rate(schedule, seen, 10, 100) for seen in (0, 5, 10)] == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("schedule", FALLING)
@given(min_lr_ratio=floors)
def test_falls_to_the_floor_at_the_end_and_stays_there(schedule: Schedule, min_lr_ratio: float) -> None:
    assert rate(schedule, 100, 10, 100, min_lr_ratio) == pytest.approx(min_lr_ratio)
    assert rate(schedule, 150, 10, 100, min_lr_ratio) == pytest.approx(min_lr_ratio)


@pytest.mark.parametrize("schedule", FALLING)
@given(min_lr_ratio=floors)
def test_never_rises_after_the_warm_up(schedule: Schedule, min_lr_ratio: float) -> None:
    rates = [rate(schedule, seen, 10, 100, min_lr_ratio) for seen in range(10, 121)]
    assert all(a >= b for a, b in pairwise(rates))
    assert max(rates) == 1.0


@pytest.mark.parametrize(
    ("schedule", "halfway"), [("linear", 0.5), ("cosine", 0.5), ("polynomial", 0.25), ("constant", 1.0)]
)
def test_halfway(schedule: Schedule, halfway: float) -> None:
    assert rate(schedule, 50, 0, 100) == pytest.approx(halfway)
    if schedule != "constant":
        assert rate(schedule, 50, 0, 100, min_lr_ratio=0.2) == pytest.approx(0.2 + 0.8 * halfway)


def test_constant_knows_no_floor() -> None:
    assert rate("constant", 100, 10, 100, min_lr_ratio=0.3) == 1.0


def test_without_a_warm_up_the_first_sample_has_the_whole_rate() -> None:
    assert rate("linear", 0, 0, 100) == 1.0
