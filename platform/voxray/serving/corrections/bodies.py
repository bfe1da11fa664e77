"""What kept finals look like over REST."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class KeptFinal(BaseModel):
    """A final that waits for a correction."""

    model_config = ConfigDict(frozen=True)

    id: str
    text: str
    language: str | None
    certainty: float | None = Field(description="Probability of its least probable word; null: not known.")
    duration_s: float
    created_at: float = Field(description="Seconds since 1970.")


class CorrectionList(BaseModel):
    """What was kept of a key: the finals that wait, the least certain first, at most 50 of them."""

    object: Literal["list"] = "list"
    enabled: bool = Field(description="Whether finals of this key are kept from now on.")
    data: tuple[KeptFinal, ...]
    waiting: int
    accepted: int
    days: float = Field(description="After which audio and text are deleted, accepted or not.")
    corpus: str = Field(description="The audio folder of what was accepted, on the server.")


class CorrectionSwitch(BaseModel):
    """Whether finals of this key are to be kept."""

    enabled: bool


class CorrectedText(BaseModel):
    """What was said."""

    text: str


class SettledFinal(BaseModel):
    """One that waits no more."""

    id: str
    object: Literal["correction"] = "correction"
