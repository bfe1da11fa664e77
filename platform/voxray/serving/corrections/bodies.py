"""What recorded finals look like over REST."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PendingClip(BaseModel):
    """A recorded final that waits for its correction."""

    model_config = ConfigDict(frozen=True)

    id: str
    text: str = Field(description="What was recognised.")
    language: str | None
    confidence: float | None = Field(description="Probability of its least probable word; null: not known.")
    duration_s: float
    created_at: float = Field(description="Seconds since 1970.")


class CorrectionList(BaseModel):
    """What was recorded of a key: the clips to correct, the least confident first, at most 50 of them."""

    object: Literal["list"] = "list"
    enabled: bool = Field(description="Whether finals of this key are recorded from now on.")
    data: tuple[PendingClip, ...]
    pending: int = Field(description="The number of clips to correct.")
    corrected: int = Field(description="The number of corrected clips.")
    days: float = Field(description="After which audio and texts are deleted, corrected or not.")
    stored_bytes: int
    max_stored_bytes: int = Field(description="Beyond which the most confident clips to correct are deleted.")
    corpus: str = Field(description="The audio folder of the corrected clips, on the server.")


class CorrectionSwitch(BaseModel):
    """Whether finals of this key are to be recorded."""

    enabled: bool


class Correction(BaseModel):
    """The text that was spoken."""

    text: str


class CorrectedClip(BaseModel):
    """A clip that was corrected."""

    id: str
    object: Literal["correction"] = "correction"


class DeletedClip(BaseModel):
    """A clip that was deleted."""

    id: str
    object: Literal["correction.deleted"] = "correction.deleted"
    deleted: Literal[True] = True
