import pytest

from voxray.errors import TrainingError
from voxray.training.trainer import _reason, describe


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"step": 5, "wer": 3.204}, "step      5 of 10  dev WER 3.20 %"),
        (
            {"step": 10, "loss": 1.5, "ce": 1.0, "kl": 0.5, "samples_per_s": 20.04},
            "step     10 of 10  loss 1.500  ce 1.000  kl 0.500  20.0 clips/s",
        ),
    ],
)
def test_progress_is_reported_in_a_line(values: dict[str, float], line: str) -> None:
    assert describe(values, 10) == line


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
