"""Deepgram's live transcription, at `/v1/listen`.

    query options             -> DeepgramOptions, which are the session's start
    binary frame              -> audio; an empty one is CloseStream
    Finalize, CloseStream     -> finalize, stop
    partials, finals          -> Results
    speech_start, done        -> SpeechStarted, Metadata
    progress in silence       -> UtteranceEnd

With `multichannel` each channel has its own `DeepgramChannel`, as it has its own session. A message that
cannot be read is answered with an `Error`, and leaves the session as it is.
"""

import json
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from typing import Any

from voxray.serving.client_protocols.base import ClientProtocol, Closing, Frame
from voxray.serving.client_protocols.deepgram_channel import DeepgramChannel
from voxray.serving.client_protocols.deepgram_options import DeepgramOptions, model_uuid
from voxray.serving.client_protocols.turns import without_cuts
from voxray.wire import (
    Ack,
    ClientMessage,
    Close,
    Done,
    Error,
    Final,
    Finalize,
    Finalized,
    Ready,
    Reconnect,
    ServerMessage,
    Start,
    Stop,
)

CLOSINGS = {
    "not_audio": Closing(1008, "DATA-0000"),
    "silent": Closing(1011, "NET-0001"),
    "restart": Closing(1011, "NET-0000"),
    "unavailable": Closing(1011, "NET-0000"),
    "model_unavailable": Closing(1011, "NET-0000"),
}
"""What Deepgram closes with, by our reason or error code."""
MESSAGES: dict[str, Sequence[ClientMessage]] = {
    "KeepAlive": (),
    "Finalize": (Finalize(),),
    "CloseStream": (Stop(),),
}


class DeepgramProtocol(ClientProtocol):
    """One stream. `now` gives the time of its Metadata."""

    resumable = False

    def __init__(
        self, options: DeepgramOptions, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.options = options
        self.request_id = str(uuid.uuid4())
        self._now = now
        self._digest = sha256()
        self._about: dict[str, Any] = {"request_id": self.request_id}
        self._set_model(options.model or "base")  # until the session says which it has
        count = options.sessions
        self._channels = [DeepgramChannel(options, self._about, index, count) for index in range(count)]
        self._failed = ""  # the code of an error that ends the stream

    @property
    def defaults(self) -> Start:
        """See `ClientProtocol`."""
        return self.options.start

    def read(self, frame: str | bytes) -> Sequence[ClientMessage | bytes | Frame]:
        """Return what a message means; where it is none, an `Error` for the client."""
        if isinstance(frame, bytes):
            self._digest.update(frame)
            return [frame or Stop()]
        kind = _kind(frame)
        if kind == "Configure":
            return [self._configure_failure()]
        return MESSAGES[kind] if kind in MESSAGES else [_schema_error(frame)]

    def write(self, messages: Sequence[ServerMessage]) -> Sequence[Frame]:
        """See `ClientProtocol`. Messages that come at once are those of one channel."""
        turns = without_cuts(messages)
        told = [m for m in turns if not isinstance(m, Ack)]
        flushed = {a.segment for a, b in pairwise(told) if isinstance(a, Final) and isinstance(b, Finalized)}
        return [frame for message in turns for frame in self._frames(message, flushed)]

    def closing(self, closing: Closing) -> Closing:
        """See `ClientProtocol`."""
        reason = "restart" if closing.code == Close.RESTART else self._failed or closing.reason
        return CLOSINGS.get(reason, closing)

    def _frames(self, message: ServerMessage, flushed: set[int]) -> list[Frame]:
        """Return the frames for a message; the finals of the segments in `flushed` answer a `Finalize`."""
        if isinstance(message, Ready):
            self._set_model(message.model)
        elif isinstance(message, Done):
            return [self._metadata(message)]
        elif isinstance(message, Error):
            self._failed = message.code
            return [_error(message.code, message.message)]
        elif isinstance(message, Reconnect):
            return [
                _error("restart", "expected the stream to go on, got a server that stops; connect again.")
            ]
        else:
            return self._channels[(message.channel or 1) - 1].frames(message, flushed)
        return []

    def _set_model(self, name: str) -> None:
        info = {"name": name, "version": "", "arch": "whisper"}
        self._about |= {"model_uuid": model_uuid(name), "model_info": info}

    def _metadata(self, done: Done) -> Frame:
        uuid_ = self._about["model_uuid"]
        values = {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.request_id,
            "sha256": self._digest.hexdigest(),
            "created": self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "duration": round(done.audio_s, 3),
            "channels": len(self._channels),
            "models": [uuid_],
            "model_info": {uuid_: self._about["model_info"]},
        }
        return Frame.of(values)

    def _configure_failure(self) -> Frame:
        values = {
            "type": "ConfigureFailure",
            "request_id": self.request_id,
            "code": "CONFIGURE_KEYTERMS_NOT_SUPPORTED",
            "description": "expected the options in the URL, got a change of them; connect anew.",
        }
        return Frame.of(values)


def _kind(frame: str) -> str:
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return ""
    return str(message.get("type")) if isinstance(message, dict) else ""


def _error(variant: str, description: str) -> Frame:
    return Frame.of({"type": "Error", "variant": variant, "description": description})


def _schema_error(frame: str) -> Frame:
    description = f"expected type {', '.join(MESSAGES)}, got {frame[:60]!r}."
    return Frame.of(
        {"type": "Error", "variant": "SchemaError", "description": description, "message": frame[:240]}
    )
