"""What trainings look like over REST: the form that makes one, and the objects that come back."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from voxray.serving.trainings.states import Kind, TrainingStatus
from voxray.serving.trainings.store import FORMATS, TrainingFolder


class TrainingForm(BaseModel):
    """The fields of a new training. All others are keys of the job, `group.key` for nested ones."""

    model_config = ConfigDict(extra="allow")

    kind: Kind = Field(
        description="`finetune` on clips with texts, `adapt` to short windows, `distil` to a small model."
    )
    model: str | None = Field(None, description="The model to start from, or the teacher.")
    corpus: str | None = Field(None, description="A corpus of the server, instead of `data`.")


class TrainingObject(BaseModel):
    """A training. Times are seconds since 1970, word error rates per cent on the dev clips."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    id: str
    object: Literal["training"] = "training"
    kind: Kind
    model: str | None
    corpus: str | None = Field(description="Null: what was uploaded.")
    file: str | None = Field(description="The file of `/v1/files` that it was made of.")
    keys: Mapping[str, str]
    status: TrainingStatus
    error: str | None = Field(description="Why it failed.")
    progress: str = Field(description="What it is doing, in words.")
    percent: float = Field(description="Of its steps.")
    left_s: float | None = Field(description="Seconds that its steps still take.")
    wer_before: float | None
    wer: float | None = Field(description="The lowest so far.")
    created_at: float
    started_at: float | None
    ended_at: float | None
    node_s: float = Field(description="Seconds for which it has held its part of a node.")
    result: Mapping[str, Any] | None = Field(description="The numbers of the job's result.")
    formats: tuple[str, ...] = Field(description="In which its model can be downloaded.")
    directory: str = Field(description="Where the server keeps it.")

    @classmethod
    def of(cls, folder: TrainingFolder, now: float) -> "TrainingObject":
        """Return the training in `folder`; FileNotFoundError if it is deleted meanwhile."""
        request, state, progress = folder.request, folder.state, folder.progress
        ready = state.status is TrainingStatus.SUCCEEDED
        running = state.status is TrainingStatus.RUNNING
        held_s = (state.ended_at or now) - state.started_at if state.started_at else 0.0
        words = folder.line("phase") if running else None
        if words == "training" and progress.max_steps:
            words = f"step {progress.step} of {progress.max_steps}"
        return cls(
            id=folder.id,
            kind=request.kind,
            model=request.model,
            corpus=request.corpus,
            file=request.file,
            keys=request.keys,
            status=state.status,
            error=state.error,
            progress=words or state.status,
            percent=100.0 if ready else progress.percent,
            left_s=progress.left_s if running else None,
            wer_before=progress.wer_before,
            wer=progress.wer,
            created_at=request.created_at,
            started_at=state.started_at,
            ended_at=state.ended_at,
            node_s=round(held_s, 1),
            result=_numbers(folder.result) if ready else None,
            formats=tuple(f for f in FORMATS if folder.model(f)) if ready else (),
            directory=str(folder.path),
        )

    @property
    def shown_state(self) -> dict[str, Any]:
        """What an event is sent for when it changes."""
        return self.model_dump(mode="json", exclude={"node_s", "left_s"})


async def described(folder: TrainingFolder) -> TrainingObject:
    """Read a training in a thread: its directory may be on another machine."""
    return await asyncio.to_thread(TrainingObject.of, folder, time.time())


class TrainingList(BaseModel):
    """The trainings of a key, the newest first."""

    object: Literal["list"] = "list"
    data: tuple[TrainingObject, ...]


class DeletedTraining(BaseModel):
    """What is left of one."""

    id: str
    object: Literal["training.deleted"] = "training.deleted"
    deleted: Literal[True] = True


def _numbers(result: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what of a job's result means something elsewhere: not its paths."""
    return None if result is None else {k: v for k, v in result.items() if not isinstance(v, str)}
