import json
import threading
from pathlib import Path

import pytest

from voxray.errors import TrainingError
from voxray.training.trainer import LostWorkersError, _follow, _kind, _reason


class WorkersFailed(RuntimeError):
    """As Ray Train's: what each worker raised, by rank."""

    def __init__(self, worker_failures: dict[int, Exception]) -> None:
        super().__init__("Training failed due to worker errors")
        self.worker_failures = worker_failures


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("first\nlast"), "last"),
        (WorkersFailed({0: TrainingError("no clips")}), "no clips"),
        (AssertionError(), "AssertionError"),
        (WorkersFailed({0: MemoryError()}), "MemoryError"),
        (RuntimeError("\n"), "RuntimeError"),
    ],
)
def test_the_reason_of_a_failure_is_its_last_line_or_its_class(error: Exception, reason: str) -> None:
    assert _reason(error) == reason


def test_progress_is_shown_up_to_a_line_that_is_not_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, done = tmp_path / "progress.jsonl", threading.Event()
    whole = json.dumps({"step": 1, "wer": 12.5, "started": 0.0, "elapsed_s": 1.0}) + "\n"
    log.write_text(whole + whole[:9])
    done.set()
    _follow(log, 0, 4, done)
    assert "dev WER 12.50 %" in capsys.readouterr().err
    log.write_text(whole)  # as a worker cuts it off
    _follow(log, len(whole) + 9, 4, done)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("cause", "lost"), [(TrainingError("no clips"), False), (MemoryError(), True), (OSError("gone"), True)]
)
def test_only_a_reason_of_ray_or_the_machine_is_worth_another_start(cause: Exception, lost: bool) -> None:
    assert issubclass(_kind(WorkersFailed({0: cause})), LostWorkersError) == lost
