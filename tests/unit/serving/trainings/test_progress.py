import json
from pathlib import Path

import pytest

from voxray.serving.trainings.progress import TrainingProgress


def line(step: int, elapsed_s: float, *, started: float = 1.0, wer: float | None = None) -> dict[str, float]:
    times = {"step": step, "started": started, "elapsed_s": elapsed_s}
    return {**times, "max_steps": 100} if wer is None else {**times, "wer": wer}


def test_progress_is_steps_rates_and_the_time_left_at_the_pace_so_far() -> None:
    lines = [line(0, 2.0, wer=30.0), line(20, 12.0), line(20, 14.0, wer=20.0), line(40, 22.0)]

    progress = TrainingProgress.of(lines)

    assert progress == TrainingProgress(step=40, max_steps=100, wer_before=30.0, wer=20.0, left_s=30.0)
    assert progress.percent == 40.0


def test_the_pace_is_that_of_the_process_that_goes_on_after_a_killed_one() -> None:
    lines = [line(0, 0.0), line(50, 1000.0), line(50, 0.0, started=2.0), line(60, 10.0, started=2.0)]

    assert TrainingProgress.of(lines).left_s == 40.0


@pytest.mark.parametrize("lines", [[], [line(0, 1.0, wer=9.0)], [line(10, 1.0)]])
def test_no_time_is_left_where_no_pace_is_known(lines: list[dict[str, float]]) -> None:
    assert TrainingProgress.of(lines).left_s is None


def test_a_line_that_is_being_written_is_left(tmp_path: Path) -> None:
    file = tmp_path / "progress.jsonl"
    assert TrainingProgress.read(file) == TrainingProgress()

    file.write_text(json.dumps(line(10, 1.0)) + '\n{"step": 2')

    assert TrainingProgress.read(file).step == 10
