"""Windows that need no text: planned from lengths, rendered the same each time they are read."""

from bisect import bisect_right
from collections import Counter
from itertools import accumulate

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from voxray.audio import SAMPLE_RATE, WINDOW_SAMPLES
from voxray.corpora.store import Clip
from voxray.training.augment import AugmentOptions
from voxray.training.plan import PlanOptions
from voxray.training.rendering import RenderedWindows, plan_corpora, plan_silences, plan_windows

VARIED = PlanOptions(
    cut_probability=0.4, join_probability=0.3, speed_probability=0.3, no_speech_probability=0.2
)
AUGMENTED = AugmentOptions(noise=0.5, room=0.2, telephone=0.2, gain_db=6.0)
lengths_s = st.lists(st.floats(0.3, 30.0), min_size=1, max_size=6)


def _clips(durations_s: list[float]) -> list[Clip]:
    rng = np.random.default_rng(0)
    return [
        Clip(str(i), rng.integers(-8000, 8000, int(s * SAMPLE_RATE)).astype(np.int16), "")
        for i, s in enumerate(durations_s)
    ]


@given(lengths_s, st.integers(1, 3))
def test_each_clip_is_in_one_window_a_pass(durations_s: list[float], passes: int) -> None:
    windows = plan_windows(durations_s, VARIED, passes)

    used = sorted(clip for window in windows for clip in window.clips)
    assert used == sorted(list(range(len(durations_s))) * passes)


@given(lengths_s)
def test_a_further_pass_changes_no_earlier_window(durations_s: list[float]) -> None:
    one, two = (plan_windows(durations_s, VARIED, passes) for passes in (1, 2))

    assert two[: len(one)] == one


@given(st.lists(lengths_s, min_size=1, max_size=3), st.none() | st.integers(1, 4))
def test_corpora_stay_apart_and_none_has_more_windows_than_it_may(
    corpora: list[list[float]], most: int | None
) -> None:
    windows = plan_corpora(corpora, VARIED, 1, [most] * len(corpora))

    ends = list(accumulate(map(len, corpora), initial=0))
    places = [{bisect_right(ends, clip) for clip in window.clips} for window in windows]
    assert all(len(place) <= 1 for place in places)
    counts = Counter(place.pop() for place in places if place)
    assert all(count <= (most or count) for count in counts.values())


@settings(max_examples=20, deadline=None)
@given(lengths_s)
def test_a_window_is_rendered_alike_each_time_and_fits_30_s(durations_s: list[float]) -> None:
    clips = _clips(durations_s)
    windows = RenderedWindows(clips, plan_windows(durations_s, VARIED, 1), AUGMENTED)

    first, second = list(windows), windows[:]

    assert len(first) == len(windows)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
        assert 0 < len(a) <= WINDOW_SAMPLES


def test_a_window_that_nothing_changes_is_its_clip() -> None:
    clips = _clips([1.0, 2.0])
    plain = PlanOptions(cut_probability=0.0)

    windows = RenderedWindows(clips, plan_windows([1.0, 2.0], plain, 1), AugmentOptions())

    for window, audio in zip(windows.windows, windows, strict=True):
        np.testing.assert_array_equal(audio, clips[window.clips[0]].pcm)


@given(st.integers(0, 20), st.integers(0, 3))
def test_silences_have_no_clip_and_repeat_with_their_seed(count: int, seed: int) -> None:
    windows = plan_silences(count, seed)

    assert windows == plan_silences(count, seed)
    assert len({window.seed for window in windows}) == count
    assert all(not window.clips and 0.5 <= window.length_s <= 10.0 for window in windows)
