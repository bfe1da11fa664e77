from typing import Any

import pytest

from voxray.training.progress import TimeLeft, describe, in_words


@pytest.mark.parametrize(
    ("values", "left_s", "line"),
    [
        ({"step": 5, "wer": 3.204}, None, "step      5 of 10  dev WER 3.20 %"),
        ({"step": 5, "wer": 3.204}, 61.0, "step      5 of 10  dev WER 3.20 %  2 min left"),
        (
            {"step": 10, "loss": 1.5, "ce": 1.0, "kl": 0.5, "samples_per_s": 20.04},
            None,
            "step     10 of 10  loss 1.500  ce 1.000  kl 0.500  20.0 clips/s",
        ),
    ],
)
def test_progress_is_reported_in_a_line(values: dict[str, float], left_s: float | None, line: str) -> None:
    assert describe(values, 10, left_s) == line


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((0.0, "0 s"), (0.1, "1 s"), (59.0, "59 s"), (59.5, "1 min"), (60.0, "1 min"), (60.1, "2 min")),
        *((3540.0, "59 min"), (3590.0, "1 h 0 min"), (7500.0, "2 h 5 min"), (90_000.0, "25 h 0 min")),
    ],
)
def test_durations_are_rounded_up(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def at(step: int, elapsed_s: float, started: float = 1.0) -> dict[str, Any]:
    return {"step": step, "elapsed_s": elapsed_s, "started": started}


def test_the_time_left_is_by_the_pace_since_the_first_line_with_evaluations() -> None:
    time_left = TimeLeft(100)
    assert time_left.after(at(0, 30.0)) is None  # the evaluation before the first step is over
    assert time_left.after(at(10, 40.0)) == 90.0
    assert time_left.after(at(20, 70.0)) == 160.0  # of 40 s, an evaluation took 20
    assert time_left.after(at(100, 400.0)) is None


def test_a_resumed_run_is_timed_from_where_it_goes_on() -> None:
    time_left = TimeLeft(100)
    assert time_left.after(at(50, 5.0)) is None
    assert time_left.after(at(60, 25.0)) == 80.0


def test_a_run_that_was_restarted_from_its_checkpoint_is_timed_anew() -> None:
    time_left = TimeLeft(100)
    time_left.after(at(0, 0.0))
    assert time_left.after(at(40, 40.0)) == 60.0
    assert time_left.after(at(30, 1.0, started=2.0)) is None
    assert time_left.after(at(40, 3.0, started=2.0)) == 12.0
