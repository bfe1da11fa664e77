"""The form of a transcription request.

`temperature` and `prompt` are validated and otherwise ignored: decoding is greedy, and each window by itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from voxray.errors import ConfigError
from voxray.languages import language_of
from voxray.serving.api_error import ApiError, invalid_field
from voxray.transcript import Task

Format = Literal["json", "text", "srt", "vtt", "verbose_json"]
STREAMED: tuple[Format, ...] = ("json", "text")
WHISPER_1 = "whisper-1"  # OpenAI's name for the default model
IGNORED = frozenset({"include", "chunking_strategy", "languages", "keywords"})
"""Fields that OpenAI's clients send and that have no meaning here."""

GRANULARITIES = "timestamp_granularities"
MAX_PROMPT = 2_000  # characters, as on the stream
MAX_NAME = 60  # characters of a field's name, in messages


class TranscriptionRequest(BaseModel):
    """What to make of a recording."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, loc_by_alias=False)
    task: ClassVar[Task] = "transcribe"

    model: str = Field(default=WHISPER_1, description="One of the names at `/v1/models`.")
    language: str | None = Field(
        default=None, description="Its language, as `en` or `english`; detected where not given, or `auto`."
    )
    prompt: str = Field(
        default="",
        max_length=MAX_PROMPT,
        description="Accepted and ignored: windows are decoded independently.",
    )
    response_format: Format = Field(
        default="json", description="`json`, `text`, `srt`, `vtt` or `verbose_json`."
    )
    temperature: float = Field(default=0, ge=0, le=1, description="Accepted and ignored: decoding is greedy.")
    timestamp_granularities: tuple[Literal["word", "segment"], ...] = Field(
        default=("segment",),
        validation_alias="timestamp_granularities[]",
        description="`word`, `segment` or both, in `verbose_json`.",
    )
    stream: bool = Field(
        default=False,
        description="Server-sent events while the text is decoded, with `json` or `text`. Where no language "
        "is given, it is that of the first minute with speech.",
    )
    remove_punctuation: bool = Field(
        default=False, description="Text without punctuation (not part of OpenAI's API)."
    )
    simplified_chinese: bool = Field(
        default=False, description="Chinese in simplified characters (not part of OpenAI's API)."
    )

    @property
    def words(self) -> bool:
        """Whether word times are wanted."""
        return "word" in self.timestamp_granularities

    @property
    def segments(self) -> bool:
        """Whether segment times are wanted."""
        return "segment" in self.timestamp_granularities

    @model_validator(mode="after")
    def _check_format(self) -> Self:
        if self.words and self.response_format != "verbose_json":
            expected = f"verbose_json with {GRANULARITIES}[]=word"
            raise invalid_field("response_format", expected, self.response_format)
        if self.stream and self.response_format not in STREAMED:
            raise invalid_field(
                "response_format", f"{' or '.join(STREAMED)} with stream", self.response_format
            )
        return self


class TranslationRequest(TranscriptionRequest):
    """What to make of a recording, in English."""

    task = "translate"


def parse_request(
    fields: Mapping[str, Sequence[str]],
    kind: type[TranscriptionRequest],
    models: Sequence[str],
    languages: Sequence[str],
) -> TranscriptionRequest:
    """Return the request in the text `fields` of a form, its language as a code.

    Raises ApiError that names the field: 404 for a model that is not among `models`, else 400.
    """
    try:
        request = kind.model_validate(_values(fields))
    except ValidationError as e:
        raise _api_error(e.errors()[0]) from e
    check_model(request.model, models)
    if request.language is None:
        return request
    try:
        code = language_of(request.language)
    except ConfigError as e:
        raise invalid_field("language", str(e).removeprefix("expected "), request.language) from e
    if code not in (None, *languages):
        known = ", ".join(languages[:5]) + (", ..." if len(languages) > 5 else "")
        raise invalid_field("language", f"one that the model knows ({known})", request.language)
    return request.model_copy(update={"language": code})


def check_model(name: str, models: Sequence[str]) -> None:
    """Raise ApiError 404 where `name` is not among `models`."""
    if name not in models:
        raise invalid_field("model", f"one of {', '.join(models)}", name, status=404, code="model_not_found")


def _values(fields: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the fields that have a meaning and a value: the value, or the list of several."""
    values: dict[str, Any] = {}
    for name, texts in fields.items():
        base = name.partition("[")[0]  # of `include[]` and `chunking_strategy[type]`
        if base == GRANULARITIES:
            values[base] = [*values.get(base, ()), *filter(None, texts)]
        elif base not in IGNORED:
            values[name] = texts[0].strip() if len(texts) == 1 else list(texts)
    return {name: value for name, value in values.items() if value}


def _api_error(error: ErrorDetails) -> ApiError:
    """Return one of pydantic's errors, whose messages are "Input should be ...", as an error of the API."""
    param = str(error["loc"][0])[:MAX_NAME]
    if error["type"] == "extra_forbidden":
        known = ", ".join(sorted(TranscriptionRequest.model_fields))
        return ApiError(
            400,
            f"{param}: expected one of {known}, got an unknown field.",
            param=param,
            code="unknown_parameter",
        )
    expected = error["msg"].partition(" should ")[2].partition(", unable")[0]
    return invalid_field(param, expected.removeprefix("be ").removeprefix("have "), error["input"])
