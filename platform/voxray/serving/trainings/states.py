"""What a training is: the request that it was made of, and its state."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field

from voxray.config import Config

Kind = Literal["finetune", "adapt", "distil"]
MAX_ATTEMPTS = 3  # processes that may be killed under a training


class TrainingStatus(StrEnum):
    """Where a training is. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether it never changes again."""
        return self not in (TrainingStatus.QUEUED, TrainingStatus.RUNNING)


class TrainingRequest(Config):
    """What was asked for. `owner` is a digest of the client's key; `keys` are those of the job, as text."""

    id: str
    owner: str
    created_at: float  # seconds since 1970, as all times here
    kind: Kind
    model: str | None = None
    corpus: str | None = None  # None: what was uploaded
    file: str | None = None  # the id of the file that was unpacked, if it had one
    keys: Mapping[str, str] = Field(default_factory=dict)


class TrainingState(Config):
    """A training's state, as its supervisor writes it. Use the methods for its transitions."""

    status: TrainingStatus = TrainingStatus.QUEUED
    attempts: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    error: str | None = None

    def started(self, now: float) -> Self:
        """Return the state once a process runs, the first one or one that goes on after a killed one."""
        return self.model_copy(
            update={
                "status": TrainingStatus.RUNNING,
                "attempts": self.attempts + 1,
                "started_at": self.started_at or now,
            }
        )

    def ended(self, status: TrainingStatus, now: float, error: str | None = None) -> Self:
        """Return the state after the end; a final state stays as it is."""
        if self.status.final:
            return self
        return self.model_copy(update={"status": status, "ended_at": now, "error": error})
