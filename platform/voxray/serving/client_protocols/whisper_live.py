"""WhisperLive's protocol, at `/`, where its clients connect.

    JSON with a `uid`           -> WhisperLiveOptions, which are the session's start
    binary frame                -> audio; `END_OF_AUDIO` is stop
    ready                       -> SERVER_READY
    partials, finals            -> the last segments, of which the newest may be incomplete
    done without END_OF_AUDIO   -> DISCONNECT
    errors                      -> status WAIT (full) or ERROR

Its Python client closes right after END_OF_AUDIO, before which it waits until nothing has come for 15 s: what
was said last must be final by then, although no audio follows it. Hence `finalize_after_s`.
"""

import json
from collections import deque
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from voxray.errors import WireError
from voxray.languages import Language
from voxray.serving.client_protocols.base import ClientProtocol, Frame
from voxray.transcript import Task, Word
from voxray.wire import (
    ClientMessage,
    Done,
    Encoding,
    Error,
    Final,
    Partial,
    Ready,
    ServerMessage,
    Start,
    Stop,
)

END_OF_AUDIO = b"END_OF_AUDIO"
BACKEND = "faster_whisper"  # of any other, its client keeps no completed segments
RETRY_MINUTES = 1  # said in WAIT, which must have a number; how long it takes is not known
MAX_PROMPT = 2_000  # characters, as of `Start`
MAX_SEGMENTS = 100  # in one message
FULL = frozenset({"full", "unavailable"})  # error codes that become WAIT
ENCODINGS: dict[str, Encoding] = {"float32": "pcm_f32le", "int16": "pcm_s16le"}
OTHER_RESULTS = ("enable_translation", "enable_diarization")  # options that nothing here can satisfy

Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]


class WhisperLiveOptions(BaseModel):
    """The first message of a client. Options that only tune WhisperLive's own decoding are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    language: Language = None
    task: Task = "transcribe"
    model: Text = ""
    audio_format: Literal["float32", "int16"] = "float32"
    send_last_n_segments: int = Field(default=10, ge=1)
    word_timestamps: bool = False
    hotwords: Text = Field(default="", max_length=MAX_PROMPT)
    initial_prompt: Text = ""
    enable_translation: bool = False
    enable_diarization: bool = False

    @property
    def start(self) -> Start:
        """The session that is asked for."""
        return Start(
            encoding=ENCODINGS[self.audio_format],
            language=self.language,
            task=self.task,
            prompt=self.initial_prompt[-MAX_PROMPT:],
            hotwords=self.hotwords,
            words=self.word_timestamps,
        )


class WhisperLiveProtocol(ClientProtocol):
    """One client. `models` are the names of those that are served, the default first."""

    resumable = False
    finalize_after_s = 2.0

    def __init__(self, models: tuple[str, ...]) -> None:
        self._models = models
        self._options: WhisperLiveOptions | None = None
        self._uid = ""
        self._segments = deque[dict[str, Any]](maxlen=MAX_SEGMENTS)
        self._end_s = 0.0  # of the last segment
        self._language_told = self._stopping = False

    @property
    def defaults(self) -> Start:
        """See `ClientProtocol`."""
        return (self._options or WhisperLiveOptions()).start

    def read(self, frame: str | bytes) -> Sequence[ClientMessage | bytes | Frame]:
        """See `ClientProtocol`."""
        if self._options is None:
            return self._begin(frame)
        if frame in (END_OF_AUDIO, END_OF_AUDIO.decode()):
            self._stopping = True
            return [Stop()]
        if isinstance(frame, str):
            raise WireError(f"expected binary frames after the first message, got text: {frame[:60]!r}.")
        return [frame]

    def write(self, messages: Sequence[ServerMessage]) -> Sequence[Frame]:
        """See `ClientProtocol`."""
        return [frame for message in messages for frame in self._frames(message)]

    def _begin(self, frame: str | bytes) -> Sequence[ClientMessage | Frame]:
        values = handshake(frame)
        if values is None:
            raise WireError(f"expected a JSON object with a uid as the first message, got {frame[:60]!r}.")
        self._uid = values["uid"]
        try:
            options = WhisperLiveOptions.model_validate(values)
        except ValidationError as e:
            raise WireError(_message(e)) from e
        self._options, self._language_told = options, options.language is not None
        self._segments = deque(maxlen=min(options.send_last_n_segments, MAX_SEGMENTS))
        model = options.model if options.model in self._models[1:] else None  # the first is the default
        start = options.start.model_copy(update={"model": model})
        return [*map(self._warning, self._unmet(options)), start]

    def _unmet(self, options: WhisperLiveOptions) -> list[str]:
        """Return what a client asks for and does not get, as sentences."""
        unmet = [
            f"{name}: expected false, as this service cannot do it, got true; the transcript comes without."
            for name in OTHER_RESULTS
            if getattr(options, name)
        ]
        if options.model not in ("", *self._models):
            served, model = self._models[0], options.model[:60]
            unmet.append(f"model: expected {' or '.join(self._models)}, got {model!r}; {served} transcribes.")
        return unmet

    def _frames(self, message: ServerMessage) -> list[Frame]:
        if isinstance(message, Ready):
            return [self._frame(message="SERVER_READY", backend=BACKEND)]
        if isinstance(message, Partial):
            return self._interim(message)
        if isinstance(message, Final):
            return self._final(message)
        if isinstance(message, Done):
            return [] if self._stopping else [self._frame(message="DISCONNECT")]
        if isinstance(message, Error):
            full = message.code in FULL
            said: int | str = RETRY_MINUTES if full else message.message
            return [self._frame(status="WAIT" if full else "ERROR", message=said)]
        return []

    def _interim(self, partial: Partial) -> list[Frame]:
        text = (partial.stable + partial.unstable).strip()
        newest = self._segment(partial.start_s, partial.end_s, text)
        return [self._frame(segments=[*self._segments, newest], replaceable=True)] if text else []

    def _final(self, final: Final) -> list[Frame]:
        """Return the segment as incomplete and then as complete.

        A client takes the last incomplete one for the end of the transcript, unless it has the text of the
        last complete one; of the partials it may not have got the last.
        """
        if not final.text:
            return []
        newest = self._segment(final.start_s, final.end_s, final.text)
        if final.words:
            newest["words"] = [_word(w) for w in final.words]
        incomplete = self._frame(segments=[*self._segments, newest])
        self._segments.append(newest | {"completed": True})
        self._end_s = max(self._end_s, final.end_s)
        return [*self._language(final), incomplete, self._frame(segments=[*self._segments])]

    def _language(self, final: Final) -> list[Frame]:
        if self._language_told or final.language is None:
            return []
        self._language_told = True
        return [self._frame(language=final.language)]

    def _segment(self, start_s: float, end_s: float, text: str) -> dict[str, Any]:
        """Return a segment that begins no earlier than the one before it ends: others are dropped."""
        start_s = max(start_s, self._end_s)
        times = {"start": f"{start_s:.3f}", "end": f"{max(start_s, end_s):.3f}"}
        return times | {"text": f" {text}", "completed": False}  # the client joins texts without a space

    def _warning(self, sentence: str) -> Frame:
        return self._frame(status="WARNING", message=sentence)

    def _frame(self, *, replaceable: bool = False, **values: Any) -> Frame:
        return Frame.of({"uid": self._uid, **values}, replaceable=replaceable)


def handshake(frame: str | bytes) -> dict[str, Any] | None:
    """Return the first message of one of WhisperLive's clients; None for anything else."""
    if isinstance(frame, bytes):
        return None
    try:
        values = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) and isinstance(values.get("uid"), str) else None


def _word(word: Word) -> dict[str, Any]:
    times = {"start": f"{word.start_s:.3f}", "end": f"{word.end_s:.3f}"}
    return {"word": word.text, **times, "probability": round(word.probability or 0.0, 4)}


def _message(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))[:100]
    expected = first["msg"].removeprefix("Value error, ").partition("should ")[2] or first["msg"]
    return f"{name}: expected {expected.removeprefix('be ')}, got {str(first['input'])[:60]!r}."
