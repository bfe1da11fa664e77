"""Which window a model may serve on: every larger one must have passed as well."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from voxray.scoring.windows import MAX_SILENCE_S, WindowScore, silences, smallest_passed

SAME = WindowScore(30.0, 0.0, 5.0, 5.0, 0.0, 0.0, 3, 3)


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ({}, True),
        ({"wer": 5.5}, True),
        ({"wer": 5.6}, False),
        ({"wer": 4.0, "wer_to_teacher": 9.0}, True),
        ({"loops": 0.5}, False),
        ({"loops": 0.5, "loops_of_teacher": 0.5}, True),
        ({"invented": 4}, False),
        ({"invented": 0}, True),
        ({"wer": None, "wer_of_teacher": None, "wer_to_teacher": 5.0}, True),
        ({"wer": None, "wer_of_teacher": None, "wer_to_teacher": 5.1}, False),
    ],
)
def test_a_window_passes_near_the_teacher_without_more_loops_or_inventions(
    change: dict[str, Any], passes: bool
) -> None:
    assert replace(SAME, **change).passes(0.5) is passes


@pytest.mark.parametrize(
    ("failed", "smallest"), [((), 2.0), ((2.0,), 6.0), ((6.0,), 30.0), ((30.0,), None), ((2.0, 6.0), 30.0)]
)
def test_the_smallest_window_is_above_all_that_failed(
    failed: tuple[float, ...], smallest: float | None
) -> None:
    scores = [replace(SAME, window_s=w, wer=99.0 if w in failed else 5.0) for w in (2.0, 6.0, 30.0)]

    assert smallest_passed(scores, 0.5) == smallest


def test_wordless_clips_are_silence_and_noise_in_turn_and_repeat_with_their_seed() -> None:
    clips = silences(np.random.default_rng(3), 4)
    again = silences(np.random.default_rng(3), 4)
    assert [bool(c.pcm.any()) for c in clips] == [False, True, False, True]
    assert all(np.array_equal(a.pcm, b.pcm) for a, b in zip(clips, again, strict=True))
    assert all(1.0 <= c.duration_s <= MAX_SILENCE_S and c.text == "" for c in clips)
