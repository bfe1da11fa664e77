"""The settings of a transcription session of OpenAI's Realtime API, as `session.update` changes them.

Two shapes are read: that of `session.audio.input` (GA), and the flat one of `input_audio_format` (beta). What
a session here cannot change (`threshold`, `prefix_padding_ms`, `noise_reduction`, `include`) is accepted, and
the answer has the values that are in force.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voxray.languages import Language
from voxray.serving.api_error import ApiError, invalid_field
from voxray.streaming.endpoint import MAX_ENDPOINT_MS, MIN_ENDPOINT_MS, EndpointOptions
from voxray.wire import Encoding, Start

SILENCE_MS = 500  # before a turn ends, where a client does not say
VAD = EndpointOptions()
MAX_PROMPT = 2_000  # characters of the prompt that count, the last ones, and of all keywords
PCM_RATE, G711_RATE = 24_000, 8_000
_OWN_MODELS = re.compile(r"whisper-1|gpt-[\w.-]+")  # OpenAI's names stand for the default model

BetaFormat = Literal["pcm16", "g711_ulaw", "g711_alaw"]
GaFormat = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
BETA_FORMATS: dict[BetaFormat, Encoding] = {"pcm16": "pcm_s16le", "g711_ulaw": "mulaw", "g711_alaw": "alaw"}
GA_FORMATS: dict[GaFormat, Encoding] = {
    "audio/pcm": "pcm_s16le",
    "audio/pcmu": "mulaw",
    "audio/pcma": "alaw",
}


@dataclass(frozen=True, slots=True)
class RealtimeSettings:
    """`silence_ms` of silence end a turn; None: turns end when the client commits them."""

    model: str
    encoding: Encoding = "pcm_s16le"
    language: str | None = None
    prompt: str = ""
    hotwords: str = ""
    silence_ms: int | None = SILENCE_MS

    @property
    def rate(self) -> int:
        """Frames per second."""
        return PCM_RATE if self.encoding == "pcm_s16le" else G711_RATE

    @property
    def start(self) -> Start:
        """The session that these settings ask for."""
        return Start(
            sample_rate=self.rate,
            encoding=self.encoding,
            language=self.language,
            prompt=self.prompt,
            hotwords=self.hotwords,
            endpoint_ms=VAD.endpoint_ms if self.silence_ms is None else self.silence_ms,
        )

    def session(self, id_: str, *, beta: bool) -> dict[str, Any]:
        """Return the session object of the API, in either shape."""
        transcription = {"model": self.model, "language": self.language, "prompt": self.prompt}
        common = {"object": "realtime.transcription_session", "id": id_, "expires_at": None, "include": None}
        if beta:
            return common | {
                "input_audio_format": next(k for k, v in BETA_FORMATS.items() if v == self.encoding),
                "input_audio_transcription": transcription,
                "input_audio_noise_reduction": None,
                "turn_detection": self._turn_detection,
                "client_secret": None,
            }
        kind = next(k for k, v in GA_FORMATS.items() if v == self.encoding)
        audio_input = {
            "format": {"type": kind} | ({"rate": self.rate} if kind == "audio/pcm" else {}),
            "transcription": transcription | {"keywords": [k for k in self.hotwords.split(", ") if k]},
            "noise_reduction": None,
            "turn_detection": self._turn_detection,
        }
        return common | {"type": "transcription", "audio": {"input": audio_input}}

    @property
    def _turn_detection(self) -> dict[str, Any] | None:
        if self.silence_ms is None:
            return None
        return {
            "type": "server_vad",
            "threshold": VAD.threshold,
            "prefix_padding_ms": VAD.pre_roll_ms,
            "silence_duration_ms": self.silence_ms,
        }


class _Update(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _TurnDetection(_Update):
    type: Literal["server_vad"] = "server_vad"
    silence_duration_ms: int | None = Field(default=None, ge=0)
    threshold: float | None = None
    prefix_padding_ms: int | None = None
    idle_timeout_ms: int | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


class _Transcription(_Update):
    model: str | None = None
    language: Language = None
    languages: tuple[Language, ...] | None = None
    prompt: str | None = None
    keywords: tuple[str, ...] | None = None
    delay: str | None = None


class _Format(_Update):
    type: GaFormat
    rate: Literal[24_000, 8_000] | None = None


class _AudioInput(_Update):
    format: _Format | None = None
    transcription: _Transcription | None = None
    turn_detection: _TurnDetection | None = None
    noise_reduction: Any = None


class _Audio(_Update):
    input: _AudioInput = _AudioInput()


class _GaSession(_Update):
    type: Literal["transcription"] = "transcription"
    audio: _Audio = _Audio()
    include: Any = None


class _BetaSession(_Update):
    input_audio_format: BetaFormat | None = None
    input_audio_transcription: _Transcription | None = None
    turn_detection: _TurnDetection | None = None
    input_audio_noise_reduction: Any = None
    include: Any = None
    modalities: Any = None
    client_secret: Any = None


def updated(
    settings: RealtimeSettings, values: Mapping[str, Any], models: tuple[str, ...], *, beta: bool
) -> RealtimeSettings:
    """Return `settings` with those in `values`, the `session` of an update.

    Raises ApiError that names the field. A silence that is shorter or longer than the service can wait
    becomes the nearest that it can.
    """
    try:
        if beta:
            flat = _BetaSession.model_validate(values)
            given, transcription = flat.model_fields_set, flat.input_audio_transcription
            encoding = BETA_FORMATS[flat.input_audio_format] if flat.input_audio_format else None
            turns = flat.turn_detection
        else:
            nested = _GaSession.model_validate(values).audio.input
            given, transcription, turns = nested.model_fields_set, nested.transcription, nested.turn_detection
            encoding = _encoding_of(nested.format) if nested.format else None
    except ValidationError as e:
        raise _api_error(e) from e
    if encoding:
        settings = replace(settings, encoding=encoding)
    if "turn_detection" in given:
        settings = replace(settings, silence_ms=_silence_ms(turns))
    return _with_transcription(settings, transcription, models) if transcription else settings


def _encoding_of(form: _Format) -> Encoding:
    encoding = GA_FORMATS[form.type]
    expected = PCM_RATE if encoding == "pcm_s16le" else G711_RATE
    if form.rate not in (None, expected):
        raise invalid_field("session.audio.input.format.rate", f"{expected} for {form.type}", form.rate)
    return encoding


def _silence_ms(turns: _TurnDetection | None) -> int | None:
    if turns is None:
        return None
    wanted = SILENCE_MS if turns.silence_duration_ms is None else turns.silence_duration_ms
    return min(max(wanted, MIN_ENDPOINT_MS), MAX_ENDPOINT_MS)


def _with_transcription(
    settings: RealtimeSettings, given: _Transcription, models: tuple[str, ...]
) -> RealtimeSettings:
    changes: dict[str, Any] = {}
    if given.model is not None:
        check_model(given.model, models)
        changes["model"] = given.model
    if "language" in given.model_fields_set:
        changes["language"] = given.language
    elif given.languages and len(given.languages) == 1:  # several: any of them may be spoken
        changes["language"] = given.languages[0]
    if given.prompt is not None:
        changes["prompt"] = given.prompt[-MAX_PROMPT:]
    if given.keywords is not None:
        changes["hotwords"] = ", ".join(given.keywords)
        if len(changes["hotwords"]) > MAX_PROMPT:
            count = len(changes["hotwords"])
            raise invalid_field("keywords", f"at most {MAX_PROMPT} characters in all", count)
    return replace(settings, **changes)


def check_model(name: str, models: tuple[str, ...]) -> None:
    """Raise ApiError where `name` is neither one of OpenAI's, which mean the default, nor in `models`."""
    if not _OWN_MODELS.fullmatch(name) and name not in models:
        expected = f"one of {', '.join(models)}, or a name of OpenAI's for the default"
        raise invalid_field("model", expected, name, status=404, code="model_not_found")


def _api_error(error: ValidationError) -> ApiError:
    first = error.errors()[0]
    param = ".".join(["session", *map(str, first["loc"])])[:100]
    if first["type"] == "extra_forbidden":
        message = f"{param}: expected a parameter of a transcription session, got an unknown one."
        return ApiError(400, message, param=param, code="unknown_parameter")
    expected = first["msg"].removeprefix("Value error, ").partition("should ")[2] or first["msg"]
    expected = expected.removeprefix("be ").removeprefix("have ").removeprefix("Value error, expected ")
    return invalid_field(param, expected, first["input"])
