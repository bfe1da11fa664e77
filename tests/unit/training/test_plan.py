from collections import Counter
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.audio import WINDOW_S
from voxray.training.plan import JoinRules, Mixture, PlannedWindow, PlanOptions, plan_epoch, shard

durations = st.lists(st.floats(0.3, 30.0), min_size=1, max_size=40)
options = st.builds(
    PlanOptions,
    batch_s=st.sampled_from([2.0, 40.0, 120.0]),
    full_probability=st.sampled_from([0.0, 0.3]),
    join_probability=st.sampled_from([0.0, 0.5, 1.0]),
    no_speech_probability=st.sampled_from([0.0, 0.3]),
    speed_probability=st.sampled_from([0.0, 1.0]),
    cut_probability=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 3),
)


def windows(durations_s: list[float], chosen: PlanOptions, epoch: int = 0) -> list[PlannedWindow]:
    return list(chain(*plan_epoch(durations_s, chosen, epoch)))


@given(durations, options, st.integers(0, 3))
def test_each_clip_stands_in_one_window_of_each_epoch(
    durations_s: list[float], chosen: PlanOptions, epoch: int
) -> None:
    used = [i for w in windows(durations_s, chosen, epoch) for i in w.clips]
    assert sorted(used) == list(range(len(durations_s)))


@given(durations, options)
def test_a_plan_is_a_function_of_seed_and_epoch(durations_s: list[float], chosen: PlanOptions) -> None:
    assert plan_epoch(durations_s, chosen, 1) == plan_epoch(durations_s, chosen, 1)


def test_another_epoch_and_another_seed_are_other_orders() -> None:
    first = windows([1.0] * 30, PlanOptions(), 0)
    assert first != windows([1.0] * 30, PlanOptions(), 1)
    assert first != windows([1.0] * 30, PlanOptions(seed=1), 0)


@given(durations, options)
def test_a_batch_padded_to_its_longest_holds_no_more_than_its_seconds(
    durations_s: list[float], chosen: PlanOptions
) -> None:
    for batch in plan_epoch(durations_s, chosen, 0):
        assert len(batch) == 1 or len(batch) * max(w.cost_s for w in batch) <= chosen.batch_s


@given(durations, options)
def test_windows_hold_what_is_put_into_them_in_30_s(durations_s: list[float], chosen: PlanOptions) -> None:
    for w in windows(durations_s, chosen):
        if w.clips:
            assert len(w.pauses_s) == len(w.clips) - 1
            whole_s = sum(durations_s[i] / w.speed for i in w.clips) + sum(w.pauses_s)
            assert w.length_s == pytest.approx(whole_s)
        assert 0 < w.length_s <= WINDOW_S


def test_a_clip_of_exactly_30_s_is_kept_whole() -> None:
    [[w]] = plan_epoch([480_000 / 16_000], PlanOptions(join_probability=1.0, speed_probability=0.0), 0)
    assert (w.clips, w.length_s, w.speed) == ((0,), 30.0, 1.0)


def test_a_clip_is_not_slowed_down_beyond_the_window_that_would_cut_its_end_off() -> None:
    slow = PlanOptions(speed_probability=1.0, speed_range=(0.8, 0.9))
    assert {w.speed for w in windows([29.0] * 20, slow)} == {1.0}
    assert all(0.8 <= w.speed <= 0.9 for w in windows([20.0] * 20, slow))


def test_two_clips_that_fill_a_window_to_the_last_sample_are_joined() -> None:
    exact = PlanOptions(join_probability=1.0, join_s=(30.0, 30.0), pause_s=(1.0, 1.0))
    [[w]] = plan_epoch([14.5, 14.5], exact, 0)
    assert (len(w.clips), w.length_s) == (2, 30.0)
    assert len(windows([14.5, 14.51], exact)) == 2


def test_cut_windows_hold_one_clip() -> None:
    made = windows([1.0] * 60, PlanOptions(cut_probability=1.0, join_probability=0.5))
    assert all(w.cut == (len(w.clips) == 1) for w in made)
    assert {w.cut for w in made} == {True, False}


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_shares_are_shares_of_windows(share: float) -> None:
    chosen = PlanOptions(
        full_probability=share, cut_probability=share, speed_probability=share, no_speech_probability=share
    )
    made = windows([2.0] * 800, chosen)
    spoken = [w for w in made if w.clips]
    found = [
        sum(flags) / 800 for flags in zip(*((w.full, w.cut, w.speed != 1.0) for w in spoken), strict=True)
    ]
    assert found == pytest.approx([share] * 3, abs=0.06)
    assert (len(made) - 800) / 800 == pytest.approx(share, abs=0.06)


def test_full_windows_cost_30_s() -> None:
    batches = plan_epoch([1.0] * 20, PlanOptions(full_probability=1.0, batch_s=60.0), 0)
    assert [len(b) for b in batches] == [2] * 10


@given(st.integers(0, 20), st.integers(1, 6))
def test_the_ranks_of_any_world_share_a_batch_out(count: int, world: int) -> None:
    batch = [PlannedWindow((i,), (), 1.0, 1.0, False, False, i) for i in range(count)]
    shares = [shard(batch, rank, world) for rank in range(world)]
    assert sorted(chain(*shares), key=lambda w: w.seed) == batch
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


MIXTURES = st.lists(
    st.tuples(st.integers(1, 30), st.floats(0.05, 1.0, allow_nan=False)), min_size=1, max_size=4
).map(lambda sets: Mixture(tuple(n for n, _ in sets), tuple(w / sum(w for _, w in sets) for _, w in sets)))


def drawn(mixture: Mixture, seed: int, epochs: int) -> list[Counter[int]]:
    """How often each clip of each set comes in the first `epochs`."""
    ends = [sum(mixture.sizes[: k + 1]) for k in range(len(mixture.sizes))]
    counts = Counter(clip for epoch in range(epochs) for clip in mixture.order(seed, epoch))
    return [
        Counter({clip: counts[clip] for clip in range(end - size, end)})
        for end, size in zip(ends, mixture.sizes, strict=True)
    ]


@given(MIXTURES, st.integers(0, 2**31), st.integers(1, 5))
def test_each_set_has_its_share_and_its_clips_come_equally_often(
    mixture: Mixture, seed: int, epochs: int
) -> None:
    total = sum(mixture.sizes)
    for counts, weight in zip(drawn(mixture, seed, epochs), mixture.weights, strict=True):
        assert abs(sum(counts.values()) - epochs * weight * total) <= epochs
        assert max(counts.values()) - min(counts.values()) <= 1


@given(MIXTURES, st.integers(0, 2**31), st.integers(0, 5))
def test_an_epoch_of_a_mixture_is_a_function_of_seed_and_number(
    mixture: Mixture, seed: int, epoch: int
) -> None:
    """So that a resume, which starts at a cursor, sees the clips that it would have seen."""
    order = mixture.order(seed, epoch)
    assert len(order) == sum(mixture.sizes)
    assert order == mixture.order(seed, epoch)


def test_the_windows_of_an_epoch_are_those_of_the_mixture() -> None:
    mixture = Mixture((3, 30), (0.5, 0.5))
    alone = PlanOptions(cut_probability=0.0, full_probability=0.0)
    clips = [clip for batch in plan_epoch([2.0] * 33, alone, 0, mixture) for w in batch for clip in w.clips]
    assert len(clips) == 33
    assert 16 <= sum(clip < 3 for clip in clips) <= 17


@given(st.lists(st.tuples(st.floats(0.3, 30.0), st.integers(0, 300)), min_size=1, max_size=40), options)
def test_no_more_clips_are_joined_than_their_texts_have_room_for(
    clips: list[tuple[float, int]], chosen: PlanOptions
) -> None:
    durations_s, counts = [seconds for seconds, _ in clips], [count for _, count in clips]
    planned = list(
        chain(*plan_epoch(durations_s, chosen, 0, None, JoinRules(counts, 300, [0] * len(counts))))
    )

    assert sorted(i for w in planned for i in w.clips) == list(range(len(clips)))
    assert all(sum(counts[i] for i in w.clips) <= 300 for w in planned)


def test_clips_are_joined_up_to_the_room_of_their_texts() -> None:
    joining = PlanOptions(join_probability=1.0, join_s=(30.0, 30.0))
    planned = list(chain(*plan_epoch([2.0] * 12, joining, 0, None, JoinRules([100] * 12, 443, [0] * 12))))

    assert [len(w.clips) for w in planned] == [4, 4, 4]


@given(st.lists(st.tuples(st.floats(0.3, 30.0), st.sampled_from("ab")), min_size=1, max_size=40), options)
def test_only_clips_of_one_language_and_task_are_joined(
    clips: list[tuple[float, str]], chosen: PlanOptions
) -> None:
    durations_s, kinds = [seconds for seconds, _ in clips], [kind for _, kind in clips]
    rules = JoinRules([1] * len(clips), 443, kinds)
    planned = list(chain(*plan_epoch(durations_s, chosen, 0, None, rules)))

    assert sorted(i for w in planned for i in w.clips) == list(range(len(clips)))
    assert all(len({kinds[i] for i in w.clips}) == 1 for w in planned if w.clips)


@given(durations, st.integers(0, 99))
def test_silence_is_labelled_as_a_clip_that_is_there(durations_s: list[float], seed: int) -> None:
    planned = windows(durations_s, PlanOptions(no_speech_probability=0.5, seed=seed))

    assert all((w.like is None) == bool(w.clips) for w in planned)
    assert all(w.like is None or 0 <= w.like < len(durations_s) for w in planned)
