"""Transcription sessions of OpenAI's Realtime API, at `/v1/realtime?intent=transcription`.

    session.update, transcription_session.update   -> RealtimeSettings, which become the session's start
    input_audio_buffer.append                      -> audio
    input_audio_buffer.commit, .clear              -> finalize
    messages of the session                        -> TranscriptionItems -> events

Errors in an event leave the session as it is. Settings can be changed until the first audio.
"""

import base64
import binascii
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from voxray.serving.api_error import ApiError, invalid_field
from voxray.serving.client_protocols.base import ClientProtocol, Frame
from voxray.serving.client_protocols.realtime_items import (
    MIN_COMMIT_MS,
    CommitItems,
    Events,
    TranscriptionItems,
    TurnItems,
)
from voxray.serving.client_protocols.realtime_settings import RealtimeSettings, check_model, updated
from voxray.serving.client_protocols.turns import without_cuts
from voxray.wire import (
    ClientMessage,
    Error,
    Final,
    Finalize,
    Finalized,
    Partial,
    Reconnect,
    ServerMessage,
    SpeechEnd,
    SpeechStart,
    Start,
)

Items = list[ClientMessage | bytes | Frame]
FAULTS = frozenset({"internal", "unavailable", "model_unavailable", "full", "lagging", "restart"})
"""Codes of errors that are none of the client's."""
_EMPTY = (
    "Error committing input audio buffer: buffer too small. Expected at least {least}ms of audio, but buffer "
    "only has {count:.2f}ms of audio."
)  # as OpenAI says it


def new_id() -> str:
    """Return what is unique in an id."""
    return secrets.token_hex(12)


class RealtimeProtocol(ClientProtocol):
    """One session. `models` are the names of the service's models, the default first.

    `beta`: its events are those of clients that send `OpenAI-Beta: realtime=v1`. Raises ApiError where there
    is no `model` of this name.
    """

    resumable = False

    def __init__(
        self,
        models: tuple[str, ...],
        model: str | None = None,
        *,
        beta: bool = False,
        new_id: Callable[[], str] = new_id,
    ) -> None:
        check_model(model or models[0], models)
        self.settings = RealtimeSettings(model or models[0])
        self.beta = beta
        self._models, self._new_id = models, new_id
        self._id = f"sess_{new_id()}"
        self._items = self._new_items()
        self._begun = False

    @property
    def defaults(self) -> Start:
        """See `ClientProtocol`."""
        return self.settings.start.model_copy(update={"model": self._served(self.settings)})

    def greeting(self) -> Sequence[Frame]:
        """See `ClientProtocol`."""
        return [self._session("created", beta=self.beta)]

    def read(self, frame: str | bytes) -> Sequence[ClientMessage | bytes | Frame]:
        """Return what an event means; where it is none, an `error` event for the client."""
        event: dict[str, Any] = {}
        try:
            event = _event(frame)
            return self._receive(event)
        except ApiError as e:
            return [self._error(e, event.get("event_id"))]

    def write(self, messages: Sequence[ServerMessage]) -> Sequence[Frame]:
        """See `ClientProtocol`."""
        return [frame for message in without_cuts(messages) for frame in self._frames(message)]

    # Events of the client.

    def _receive(self, event: dict[str, Any]) -> Items:
        kind = event["type"]
        if kind == "input_audio_buffer.append":
            return self._append(event.get("audio"))
        if kind == "input_audio_buffer.commit":
            return self._commit()
        if kind == "input_audio_buffer.clear":
            return self._clear()
        if kind in ("session.update", "transcription_session.update"):
            return [self._update(kind, event.get("session"))]
        expected = "session.update or input_audio_buffer.append, .commit or .clear"
        raise invalid_field("type", expected, kind)

    def _append(self, audio: object) -> Items:
        try:
            data = base64.b64decode(str(audio), validate=True) if isinstance(audio, str) else None
        except (binascii.Error, ValueError):
            data = None
        if data is None:
            raise invalid_field("audio", "audio in base64", audio)
        self._begun = True
        start = self.settings.start
        self._items.appended_s += len(data) / (start.frame_bytes * start.sample_rate)
        return [data] if data else []

    def _commit(self) -> Items:
        if (count := self._items.buffered_ms) < MIN_COMMIT_MS:
            message = _EMPTY.format(least=MIN_COMMIT_MS, count=count)
            raise ApiError(400, message, code="input_audio_buffer_commit_empty")
        return [Finalize(), *self._as_frames(self._items.commit())]

    def _clear(self) -> Items:
        cleared = self._as_frames([{"type": "input_audio_buffer.cleared"}])
        if self._items.buffered_ms <= 0:
            return [*cleared]
        self._items.clear()
        return [Finalize(), *cleared]

    def _update(self, kind: str, session: object) -> Frame:
        if not isinstance(session, dict):
            raise invalid_field("session", "an object", session)
        beta = kind.startswith("transcription_session") or not session.keys() & {"audio", "type"}
        settings = updated(self.settings, session, self._models, beta=beta)
        served = self._served(settings) == self._served(self.settings)
        if self._begun and not (served and replace(settings, model=self.settings.model) == self.settings):
            message = "session: expected changes before the first audio, got some after it; connect anew."
            raise ApiError(400, message, param="session", code="session_begun")
        self.settings, self.beta = settings, kind.startswith("transcription_session") or self.beta
        self._items = self._items if self._begun else self._new_items()
        return self._session("updated", beta=beta)

    def _served(self, settings: RealtimeSettings) -> str | None:
        """Return the model that is asked for; None for the default, which OpenAI's names stand for."""
        return settings.model if settings.model in self._models[1:] else None

    def _new_items(self) -> TranscriptionItems:
        silence_ms = self.settings.silence_ms
        if silence_ms is None:
            return CommitItems(self._new_id, beta=self.beta)
        return TurnItems(self._new_id, silence_ms / 1000, beta=self.beta)

    # Messages of the session.

    def _frames(self, message: ServerMessage) -> list[Frame]:
        if isinstance(message, Error):
            status = 503 if message.code in FAULTS else 429 if message.code == "quota_exceeded" else 400
            return [self._error(ApiError(status, message.message, code=message.code))]
        if isinstance(message, Reconnect):
            text = "expected the session to go on, got a server that stops; connect again."
            return [self._error(ApiError(503, text, code="restart"))]
        return self._as_frames(self._events(message))

    def _events(self, message: ServerMessage) -> Events:
        items = self._items
        if isinstance(message, SpeechStart):
            return items.speech_started(message.at_s)
        if isinstance(message, Partial):
            return items.text_grew(message.stable)
        if isinstance(message, SpeechEnd):
            return items.speech_stopped(message.at_s)
        if isinstance(message, Final):
            return items.segment_finished(message.text, message.end_s - message.start_s)
        return items.flushed() if isinstance(message, Finalized) else []

    # Events of the server.

    def _as_frames(self, events: Events) -> list[Frame]:
        return [Frame.of({"event_id": f"event_{self._new_id()}", **event}) for event in events]

    def _session(self, what: str, *, beta: bool) -> Frame:
        name = "transcription_session" if self.beta else "session"
        session = self.settings.session(self._id, beta=beta)
        return self._as_frames([{"type": f"{name}.{what}", "session": session}])[0]

    def _error(self, error: ApiError, event_id: object = None) -> Frame:
        detail = error.body.error.model_dump() | {"event_id": event_id if isinstance(event_id, str) else None}
        return self._as_frames([{"type": "error", "error": detail}])[0]


def _event(frame: str | bytes) -> dict[str, Any]:
    """Parse an event; raise ApiError where `frame` is none."""
    if isinstance(frame, bytes):
        raise invalid_field("event", "JSON in a text frame", f"a binary frame of {len(frame)} bytes")
    try:
        event = json.loads(frame)
    except (ValueError, RecursionError) as e:
        raise invalid_field("event", "a JSON object", frame[:60], code="invalid_json") from e
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise invalid_field("event", "a JSON object with a type", frame[:60])
    return event
