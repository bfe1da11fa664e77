"""The query options of Deepgram's `/v1/listen`.

Those that only tune the decoding are ignored (`IGNORED`); those that ask for another result are refused where
they are on (`REFUSED`), as are names that are not known.
"""

import re
import uuid
from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from voxray.errors import ConfigError, WireError
from voxray.languages import language_of
from voxray.streaming.endpoint import MAX_ENDPOINT_MS, MIN_ENDPOINT_MS, EndpointOptions
from voxray.wire import MAX_CHANNELS, MAX_RATE, MAX_SESSION_CHANNELS, MIN_RATE, Encoding, Start

ENCODINGS: dict[str, Encoding] = {
    "linear16": "pcm_s16le",
    "linear32": "pcm_f32le",
    "mulaw": "mulaw",
    "alaw": "alaw",
    "flac": "container",
    "ogg-opus": "container",
}
IGNORED = frozenset(
    "version tag extra mip_opt_out numerals filler_words no_delay vad_turnoff tier language_hint "
    "callback_method diarize_version measurements".split()
)
REFUSED = frozenset(
    "callback detect_entities diarize diarize_model dictation profanity_filter redact replace search "
    "sentiment summarize topics intents detect_language alternatives".split()
)
LISTS = frozenset({"keywords", "keyterm"})
OFF = frozenset({"", "false", "0", "none", "null"})
MIN_UTTERANCE_END_MS = 1_000
MAX_HOTWORDS = 2_000  # characters in all
_OWN_MODELS = re.compile(r"(nova|enhanced|base|whisper)(-[\w-]*)?")  # stand for the default model


def _endpointing(value: object) -> object:
    """Return the milliseconds that `endpointing` asks for; None for `false`."""
    if isinstance(value, str) and value.lower() in ("false", "true"):
        return None if value.lower() == "false" else EndpointOptions().endpoint_ms
    return value


class DeepgramOptions(BaseModel):
    """The options that have a meaning here. None is `endpointing` that is off, and the default `model`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    encoding: str | None = None
    sample_rate: int | None = Field(default=None, ge=MIN_RATE, le=MAX_RATE)
    channels: int = Field(default=1, ge=1, le=MAX_CHANNELS)
    multichannel: bool = False
    language: str | None = None
    interim_results: bool = False
    endpointing: Annotated[int | None, BeforeValidator(_endpointing)] = Field(
        default=MIN_ENDPOINT_MS, ge=0, validate_default=False
    )
    utterance_end_ms: int | None = Field(default=None, ge=MIN_UTTERANCE_END_MS)
    vad_events: bool = False
    punctuate: bool = False
    smart_format: bool = False
    keywords: tuple[str, ...] = ()
    keyterm: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Raise ValueError for options that do not go together."""
        if self.encoding is not None and self.encoding not in ENCODINGS:
            expected = f"{', '.join(ENCODINGS)}, or a container without encoding"
            raise ValueError(f"encoding: expected {expected}, got {self.encoding[:60]!r}")
        if self.coding != "container" and self.sample_rate is None:
            raise ValueError(f"sample_rate: expected one with encoding {self.encoding}, got none")
        if self.sessions > 1 and self.coding == "container":
            raise ValueError("multichannel: expected an encoding of samples with it, got a container")
        if self.sessions > MAX_SESSION_CHANNELS:
            expected = f"at most {MAX_SESSION_CHANNELS} with multichannel"
            raise ValueError(f"channels: expected {expected}, got {self.channels}")
        if self.utterance_end_ms is not None and not self.interim_results:
            raise ValueError("utterance_end_ms: expected interim_results=true with it, got false")
        if len(self.hotwords) > MAX_HOTWORDS:
            count = len(self.hotwords)
            raise ValueError(f"keyterm: expected at most {MAX_HOTWORDS} characters in all, got {count}")
        return self

    @property
    def coding(self) -> Encoding:
        """The encoding by its name here."""
        return ENCODINGS[self.encoding] if self.encoding is not None else "container"

    @property
    def sessions(self) -> int:
        """How many channels are transcribed, each by itself."""
        return self.channels if self.multichannel else 1

    @property
    def hotwords(self) -> str:
        """The keyterms, and the keywords without their boosts."""
        return ", ".join([*self.keyterm, *(word.partition(":")[0] for word in self.keywords)])

    @property
    def start(self) -> Start:
        """The session that is asked for. Its silence before an end is the nearest that it can be."""
        wanted = EndpointOptions().endpoint_ms if self.endpointing is None else self.endpointing
        return Start(
            model=self.model,
            encoding=self.coding,
            sample_rate=self.sample_rate or Start().sample_rate,
            channels=self.channels,
            multichannel=self.sessions > 1,
            language=None if self.language in (None, "multi") else self.language,
            hotwords=self.hotwords,
            words=True,
            partials=self.interim_results,
            endpoint_ms=min(max(wanted, MIN_ENDPOINT_MS), MAX_ENDPOINT_MS),
        )


def parse_options(query: Iterable[tuple[str, str]], models: tuple[str, ...]) -> DeepgramOptions:
    """Return the options in the parameters of a URL; raise WireError that names the wrong one."""
    values: dict[str, Any] = {}
    for name, value in query:
        if name in LISTS:
            values[name] = (*values.get(name, ()), value)
        elif name in REFUSED and value.lower() not in OFF:
            raise WireError(f"{name}: expected false, as this service cannot do it, got {value[:60]!r}.")
        elif name not in IGNORED and name not in REFUSED:
            values[name] = value
    try:
        options = DeepgramOptions.model_validate(values)
        language_of(options.language or "") if options.language != "multi" else None
    except ValidationError as e:
        raise WireError(_message(e)) from e
    except ConfigError as e:
        raise WireError(f"language: {e}, got {(options.language or '')[:60]!r}.") from e
    if options.model is None or options.model in models:
        return options
    if not _OWN_MODELS.fullmatch(options.model):
        expected = f"one of {', '.join(models)}, or a name of Deepgram's for the default"
        raise WireError(f"model: expected {expected}, got {options.model[:60]!r}.")
    return options.model_copy(update={"model": None})


def model_uuid(name: str) -> str:
    """Return the id that stands for a model in messages."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def _message(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ") + "."
    name = str(first["loc"][0])[:60]
    if first["type"] == "extra_forbidden":
        return f"{name}: expected an option of /v1/listen that this service knows, got another one."
    expected = first["msg"].partition("should ")[2] or first["msg"]
    return f"{name}: expected {expected.removeprefix('be ')}, got {str(first['input'])[:60]!r}."
