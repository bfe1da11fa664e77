"""The bodies of responses, in OpenAI's shape: what is sent, and what the schema at `/openapi.json` says."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from voxray.transcript import Task


class Body(BaseModel):
    """The base of all bodies; constants count as required, as they are always there."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class Usage(Body):
    """Seconds of audio."""

    type: Literal["duration"] = "duration"
    seconds: float


class VerboseSegment(Body):
    """Times are in seconds; scores are those of the window that the segment was decoded from.

    `channel` counts from 1, and is left out without `multichannel`.
    """

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float | None
    channel: int | None = None


class VerboseWord(Body):
    """Times are in seconds; `probability` is the mean over the word's tokens, null where there is none."""

    word: str
    start: float
    end: float
    probability: float | None


class PlainTranscription(Body):
    """The text of a recording; `words` are left out unless they were asked for."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    text: str = Field(description="All of it, on one line.")
    usage: Usage
    words: tuple[VerboseWord, ...] = ()


class VerboseTranscription(Body):
    """The text with its times; `segments` and `words` are left out unless they were asked for."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    task: Task
    language: str = Field(description="The language of the text: its English name in lower case.")
    duration: float
    text: str = Field(description="All of it, on one line.")
    usage: Usage
    words: tuple[VerboseWord, ...] = ()
    segments: tuple[VerboseSegment, ...] = ()


class TextDelta(Body):
    """An event: text to append. All deltas together are the text."""

    type: Literal["transcript.text.delta"] = "transcript.text.delta"
    delta: str


class TextSegment(Body):
    """An event after the delta of its text, with `verbose_json`; times are in seconds."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    type: Literal["transcript.text.segment"] = "transcript.text.segment"
    id: str = Field(description="Its number, from 0.")
    start: float
    end: float
    text: str
    words: tuple[VerboseWord, ...] = ()


class TextDone(Body):
    """The last event."""

    type: Literal["transcript.text.done"] = "transcript.text.done"
    text: str = Field(description="All of it.")


class ModelObject(Body):
    """A model. `loaded`, `min_window_s` and `languages` are as the transcriber that was asked says."""

    id: str = Field(description="The name.")
    object: Literal["model"] = "model"
    created: int = Field(description="In seconds since 1970; 0 where it is not known.")
    owned_by: Literal["voxray", "organization-owner"] = Field(
        description="`voxray`, or `organization-owner` for a training of the key."
    )
    source: str = Field(description="The name or folder that the server has it from.")
    loaded: bool = Field(description="Whether it is in memory; any other is loaded when it is asked for.")
    min_window_s: float | None = Field(
        description="The shortest window that it decodes, in seconds; null where it is not fetched yet."
    )
    languages: tuple[str, ...] | None = Field(description="As codes; null where it is not fetched yet.")


class ModelList(Body):
    """All names."""

    object: Literal["list"] = "list"
    data: tuple[ModelObject, ...]
