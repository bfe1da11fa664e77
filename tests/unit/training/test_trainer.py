import pytest

from voxray.errors import TrainingError
from voxray.training.trainer import _reason


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
