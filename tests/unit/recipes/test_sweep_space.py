import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.errors import ConfigError
from voxray.recipes.sweep_space import TRIAL_CPUS, Demand, SearchSpace, pareto_front

SPACE = SearchSpace((3e-5, 3e-4), (5.0, 10.0, 20.0, 40.0, None), (1, 2, (0, 3)), (0.0, 1.0))
TRIALS, SEEDS = st.integers(1, 60), st.integers(0, 2**31)


@given(TRIALS, SEEDS)
def test_the_learning_rate_is_log_uniform_with_one_trial_in_each_part_of_the_range(
    trials: int, seed: int
) -> None:
    rates = sorted(point.learning_rate for point in SPACE.sample(trials, seed))
    places = [math.log(rate / 3e-5) / math.log(10) * trials for rate in rates]

    assert len(rates) == trials
    assert all(3e-5 <= rate <= 3e-4 for rate in rates)
    rounding = 0.006 * trials / math.log(10)  # three digits
    assert all(i - rounding <= place <= i + 1 + rounding for i, place in enumerate(places))


@given(TRIALS, SEEDS)
def test_each_choice_is_tried_as_often_as_any_other_or_once_more(trials: int, seed: int) -> None:
    points = SPACE.sample(trials, seed)

    for choices, values in (
        (SPACE.wer_threshold, [p.wer_threshold for p in points]),
        (SPACE.decoder_layers, [p.decoder_layers for p in points]),
        (SPACE.kl_weight, [p.kl_weight for p in points]),
    ):
        counts = Counter(values)
        assert set(counts) <= set(choices)
        assert {counts[c] for c in choices} <= {trials // len(choices), -(-trials // len(choices))}


@given(TRIALS, SEEDS)
def test_the_same_seed_gives_the_same_trials(trials: int, seed: int) -> None:
    assert SPACE.sample(trials, seed) == SPACE.sample(trials, seed)


def test_another_seed_gives_other_trials() -> None:
    assert SPACE.sample(6, 0) != SPACE.sample(6, 1)


COSTS = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=12)


@given(COSTS)
def test_what_is_not_on_the_pareto_front_is_dominated_by_something_on_it(
    costs: list[tuple[int, int, int]],
) -> None:
    on = pareto_front(costs)
    front = [point for point, it_is in zip(costs, on, strict=True) if it_is]

    def dominates(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
        return a != b and bool(np.all(np.array(a) <= np.array(b)))

    assert front
    assert not any(dominates(a, b) for a in front for b in front)
    assert all(
        any(dominates(a, point) for a in front) for point, it_is in zip(costs, on, strict=True) if not it_is
    )


@given(
    st.integers(1, 8),
    st.integers(1, 4),
    st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    st.lists(st.integers(0, 16), min_size=1, max_size=4),
)
def test_what_is_admitted_has_room_for_every_driver_and_every_worker(
    concurrent: int, workers: int, cpus: float, nodes: list[int]
) -> None:
    demand, resources = Demand(concurrent, workers, cpus), [{"CPU": float(n)} for n in nodes]
    slots = sum(int(n / cpus) for n in nodes)
    fits = concurrent * (TRIAL_CPUS + workers * cpus) <= sum(nodes) + 1e-9 and slots // workers >= concurrent
    if fits:
        demand.check(resources)
    else:
        with pytest.raises(ConfigError, match="expected a cluster with"):
            demand.check(resources)


def test_a_sweep_that_does_not_fit_says_what_to_set() -> None:
    with pytest.raises(ConfigError) as caught:
        Demand(2, 1, 1.0).check([{"CPU": 2.0}])
    assert str(caught.value) == (
        "max_concurrent=2: expected a cluster with 2.02 CPUs for that many trials at a time (1.01 each), got "
        "2; set max_concurrent=1, because more trials would wait for each other's workers for ever."
    )
    Demand(1, 1, 1.0).check([{"CPU": 2.0}])


def test_a_trial_that_does_not_fit_alone_says_what_to_set() -> None:
    with pytest.raises(ConfigError) as caught:
        Demand(1, 4, 1.0).check([{"CPU": 2.0}, {"GPU": 1.0}])
    assert str(caught.value) == (
        "workers=4 cpus_per_worker=1: expected a cluster with 4.01 CPUs for one trial, got 2; set workers=1 "
        "or lower cpus_per_worker."
    )


def test_workers_that_get_a_gpu_each_must_all_get_one() -> None:
    node = {"CPU": 64.0, "GPU": 4.0}
    Demand(4, 1, 1.0).check([node])
    Demand(8, 8, 1.0).check([{"CPU": 128.0, "GPU": 4.0}])  # too few GPUs for a trial: they train on CPUs
    with pytest.raises(ConfigError, match=r"with 6 GPUs .* \(2 each\), got 4; set max_concurrent=2"):
        Demand(3, 2, 1.0).check([node])
