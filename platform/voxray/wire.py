"""The wire protocol of `ws://host:8000/v1/stream`: the messages of client and server, and their JSON.

A client sends an optional `start`, then audio in binary frames, and `finalize` and `stop` as JSON text. The
server sends one JSON object per text frame; `type` names its kind. Segments count from 0. Times are seconds
of audio from the session's start. Bytes are audio bytes as the client sent them, counted from the session's
first.
"""

import json
from dataclasses import asdict, dataclass, fields
from enum import IntEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, model_validator

from voxray.config import Config, parse
from voxray.errors import ConfigError, WireError
from voxray.languages import Language
from voxray.streaming.endpoint import MAX_ENDPOINT_MS, MIN_ENDPOINT_MS
from voxray.streaming.events import Done as Done  # these six are sent as they leave the session
from voxray.streaming.events import Final as Final
from voxray.streaming.events import Finalized as Finalized
from voxray.streaming.events import Partial as Partial
from voxray.streaming.events import SpeechEnd as SpeechEnd
from voxray.streaming.events import SpeechStart as SpeechStart
from voxray.transcript import Task, Word

PATH = "/v1/stream"
SUBPROTOCOL = "voxray.v1"
KEY_SUBPROTOCOL = "voxray.key."  # and the key in base64url, without padding
MAX_FRAME_BYTES = 1 << 20
MAX_CREDIT_BYTES = 4 << 20  # in any ack, whatever rate and channels a client claims
MIN_RATE, MAX_RATE, MAX_CHANNELS = 4_000, 384_000, 32  # of PCM
MAX_SESSION_CHANNELS = 8  # with `multichannel`: each has a session of its own
MAX_BYTE = (1 << 53) - 1  # the largest integer that a JavaScript client can represent
MAX_SEGMENT = (1 << 31) - 1
MAX_MODEL = 200  # characters of a model's name
MAX_SHOWN = 240  # characters of an error about a start message, which may be a megabyte long
NO_SEGMENT = -1  # `have_segment` of a client that has no final yet

Encoding = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw", "container"]  # mulaw, alaw: ITU-T G.711
WIDTHS: dict[Encoding, int] = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}


class Close(IntEnum):
    """WebSocket close codes that the server uses."""

    NORMAL = 1000
    NOT_AUDIO = 1003
    BAD_MESSAGE = 1008
    TOO_BIG = 1009
    RESTART = 1012
    FULL = 1013
    NOT_ALLOWED = 4401
    RESUMED_ELSEWHERE = 4409


def _one_text(value: object) -> object:
    if not isinstance(value, list | tuple):
        return value
    if not all(isinstance(v, str) for v in value):
        raise ValueError("expected a string or a list of strings")
    return ", ".join(filter(None, map(str.strip, value)))


EndpointMs = Annotated[int, Field(ge=MIN_ENDPOINT_MS, le=MAX_ENDPOINT_MS)]
_fixed_endpoint = TypeAdapter[int](EndpointMs)


class EndpointRange(Config):
    """Milliseconds of silence that end an utterance: `min` after words that are complete, else `max`."""

    min: EndpointMs
    max: EndpointMs

    @model_validator(mode="after")
    def _check_order(self) -> "EndpointRange":
        if self.min > self.max:
            raise ValueError("expected min to be at most max")
        return self


def _endpoint(value: object) -> int | EndpointRange:
    """Read either form by itself, so that an error is about the one that was given."""
    if isinstance(value, dict | EndpointRange):
        return EndpointRange.model_validate(value)
    return _fixed_endpoint.validate_python(value)


class Start(Config):
    """The first message of a client, all of it optional: the audio format and the options.

    `language` may be given in any form that `language_of` reads, `auto` included, and is stored as a code;
    `hotwords` may be given as a string or a list of strings, and is stored as one string. `model` is one of
    the names at `/v1/models`; without it the session gets the default of its key, or of the service.
    `endpoint_ms` of silence end an utterance; where a range is given, they depend on what was said.

    Channels are mixed, unless `multichannel` gives each a session of its own: its messages then say which
    `channel` they are about, and it cannot be resumed.

    A client that resumes gives `session` and `resume_token` of `ready`, `have_segment` (the last final that
    it received) and `from_byte` (the first byte that it still has).
    """

    type: Literal["start"] = "start"
    sample_rate: int = Field(default=16_000, ge=MIN_RATE, le=MAX_RATE)
    encoding: Encoding = "pcm_s16le"
    channels: int = Field(default=1, ge=1, le=MAX_CHANNELS)
    multichannel: bool = False
    language: Language = None
    task: Task = "transcribe"
    prompt: str = Field(default="", max_length=2_000)
    hotwords: Annotated[str, BeforeValidator(_one_text)] = Field(default="", max_length=2_000)
    words: bool = False
    partials: bool = True
    endpoint_ms: Annotated[int | EndpointRange, BeforeValidator(_endpoint)] = 600
    model: str | None = Field(default=None, max_length=MAX_MODEL)
    api_key: str | None = Field(default=None, max_length=512, repr=False)
    session: str | None = Field(default=None, max_length=64)
    resume_token: str | None = Field(default=None, max_length=128, repr=False)
    have_segment: int = Field(default=NO_SEGMENT, ge=NO_SEGMENT, le=MAX_SEGMENT)
    from_byte: int = Field(default=0, ge=0, le=MAX_BYTE)

    @property
    def endpoint_range(self) -> EndpointRange:
        """Return `endpoint_ms` as a range, whose bounds are the same where one number was given."""
        if isinstance(self.endpoint_ms, EndpointRange):
            return self.endpoint_ms
        return EndpointRange(min=self.endpoint_ms, max=self.endpoint_ms)

    @property
    def frame_bytes(self) -> int:
        """Return the bytes of one sample of all channels; 1 for containers, which have no frames."""
        return WIDTHS.get(self.encoding, 1) * (self.channels if self.encoding in WIDTHS else 1)

    @property
    def bytes_per_second(self) -> int | None:
        """Return the byte rate of PCM in real time; None for containers, whose rate is not known."""
        return self.frame_bytes * self.sample_rate if self.encoding in WIDTHS else None


@dataclass(frozen=True, slots=True)
class Finalize:
    """Asks for the finals of all audio so far, and keeps the session open; answered by one `finalized`."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Asks for the finals of all audio, then `done`; the server then closes."""


ClientMessage = Start | Finalize | Stop


@dataclass(frozen=True, slots=True)
class Ready:
    """Answers the first message. The client continues to send from byte `received_bytes`.

    Without a `session` and a `resume_token`, which are "" then, the stream cannot be resumed.
    """

    session: str
    resume_token: str
    resumed: bool
    received_bytes: int
    model: str


@dataclass(frozen=True, slots=True)
class Ack:
    """Sent once a second. Audio before `keep_from_byte` is not needed again; `credit_bytes` may be sent."""

    received_bytes: int
    keep_from_byte: int
    credit_bytes: int
    processed_s: float
    lag_s: float
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Asks the client to connect again and resume. The socket closes with 1012."""

    resume_token: str


@dataclass(frozen=True, slots=True)
class Error:
    """Says what was expected and what was received. The socket closes."""

    code: str
    message: str


ServerMessage = Ready | SpeechStart | Partial | SpeechEnd | Final | Ack | Finalized | Done | Reconnect | Error

_NAMES: dict[type[Any], str] = {
    Ready: "ready",
    SpeechStart: "speech_start",
    Partial: "partial",
    SpeechEnd: "speech_end",
    Final: "final",
    Ack: "ack",
    Finalized: "finalized",
    Done: "done",
    Reconnect: "reconnect",
    Error: "error",
}
_TYPES = {name: kind for kind, name in _NAMES.items()}


def parse_client(text: str) -> ClientMessage:
    """Parse a client's message; raise WireError where `text` is none."""
    values = _object(text)
    kind = values.get("type")
    if kind == "start":
        try:
            return parse(Start, values, where="start")
        except ConfigError as e:
            raise WireError(f"expected a start message; {_cut(str(e), MAX_SHOWN)}") from e
    if kind not in ("finalize", "stop"):
        raise WireError(f"expected type start, finalize or stop, got {_short(kind)}.")
    if extra := sorted(set(values) - {"type"}):
        raise WireError(f"{kind}: expected no further keys, got {_short(extra[0])}.")
    return Finalize() if kind == "finalize" else Stop()


def render(message: ServerMessage) -> str:
    """Return a server's message as one line of JSON, with floats rounded to three decimals."""
    values: dict[str, Any] = {"type": _NAMES[type(message)]}
    for field in fields(message):
        value = getattr(message, field.name)
        values[field.name] = round(value, 3) if isinstance(value, float) else value
    if values.get("channel") is None:
        values.pop("channel", None)
    if isinstance(message, Final):
        values["words"] = [asdict(w) for w in message.words or ()]
        if message.words is None:
            del values["words"]
    return json.dumps(values, ensure_ascii=False)


def parse_server(text: str) -> ServerMessage | None:
    """Parse a server's message; return None for an unknown type, which a newer server may send.

    Raises WireError where `text` is not a message.
    """
    values = _object(text)
    kind = _TYPES.get(str(values.pop("type", None)))
    if kind is None:
        return None
    known = {f.name for f in fields(kind)}
    try:
        if values.get("words") is not None:
            values["words"] = tuple(Word(**w) for w in values["words"])
        message: ServerMessage = kind(**{k: v for k, v in values.items() if k in known})
    except TypeError as e:
        raise WireError(f"{_NAMES[kind]}: expected its fields ({', '.join(sorted(known))}); {e}.") from e
    return message


def _object(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise WireError(f"expected a JSON object, got {_short(text)}.") from e
    if not isinstance(values, dict):
        raise WireError(f"expected a JSON object, got {_short(values)}.")
    return values


def _short(value: object, limit: int = 60) -> str:
    """Return `value` as it is shown in an error, cut to `limit` characters."""
    return _cut(repr(value[:limit] if isinstance(value, str) else value), limit + 2)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "..."
