"""What trainings look like over REST: the form that makes one, and the objects that come back."""

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
    corpus: str | None = Field(
        None, description="Instead of `data`: one of the server, or `corrections`, those of this key."
    )


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
    tensorboard_url: str | None = Field(
        None, exclude_if=lambda url: url is None, description="Its run in the operator's TensorBoard."
    )

    @classmethod
    def of(cls, folder: TrainingFolder, now: float, tensorboard: str | None = None) -> "TrainingObject":
        """Return the training in `folder`; FileNotFoundError if it is deleted meanwhile.

        `tensorboard` is the URL of a TensorBoard on the folder of all trainings.
        """
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
            tensorboard_url=tensorboard and f"{tensorboard.rstrip('/')}/?runFilter={folder.id}#timeseries",
        )

    @property
    def shown_state(self) -> dict[str, Any]:
        """What an event is sent for when it changes."""
        return self.model_dump(mode="json", exclude={"node_s", "left_s"})


class TrainingList(BaseModel):
    """The trainings of a key, the newest first."""

    object: Literal["list"] = "list"
    data: tuple[TrainingObject, ...]
    models: tuple[str, ...] = Field(description="What `model` of a new one may be.")
    corpora: tuple[str, ...] = Field(description="What `corpus` of a new one may be.")


class ClipHypothesis(BaseModel):
    """What one model transcribed of a clip; the edits turn the reference into it."""

    name: str
    wer: str = Field(description="Per cent, of this clip.")
    edits: tuple[Mapping[str, str], ...] = Field(description="`kind`, `reference` and `hypothesis` of each.")


class WorstClip(BaseModel):
    """A clip on which the trained model errs."""

    id: str
    speaker: str
    duration: str
    reference: str
    hypotheses: tuple[ClipHypothesis, ...]
    audio: str | None = Field(description="As a data: URI.")


class WorstClips(BaseModel):
    """The clips of the report, the worst first."""

    object: Literal["list"] = "list"
    data: tuple[WorstClip, ...]


class DeletedTraining(BaseModel):
    """What is left of one."""

    id: str
    object: Literal["training.deleted"] = "training.deleted"
    deleted: Literal[True] = True


def _numbers(result: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what of a job's result means something elsewhere: not its paths."""
    return None if result is None else {k: v for k, v in result.items() if not isinstance(v, str)}
