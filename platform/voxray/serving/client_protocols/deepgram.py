"""Deepgram's live transcription, at `/v1/listen`.

    query options             -> DeepgramOptions, which are the session's start
    binary frame              -> audio; an empty one is CloseStream
    Finalize, CloseStream     -> finalize, stop
    partials, finals          -> Results
    speech_start, done        -> SpeechStarted, Metadata
    progress in silence       -> UtteranceEnd

A message that cannot be read is answered with an `Error`, and leaves the session as it is.
"""

import json
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from typing import Any

from voxray.serving.client_protocols.base import ClientProtocol, Closing, Frame
from voxray.serving.client_protocols.deepgram_options import DeepgramOptions, model_uuid
from voxray.serving.client_protocols.turns import without_cuts
from voxray.transcript import Word
from voxray.wire import (
    Ack,
    ClientMessage,
    Close,
    Done,
    Error,
    Final,
    Finalize,
    Finalized,
    Partial,
    Ready,
    Reconnect,
    ServerMessage,
    SpeechEnd,
    SpeechStart,
    Start,
    Stop,
)
from voxray.word_segmentation import bare_words
from voxray.writing_systems import join_texts

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
CHANNEL = [0, 1]  # the first of one


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
        self._model = options.model or "base"  # until the session says which it has
        self._speaking = False
        self._position_s = 0.0  # of the last segment
        self._gap_from_s: float | None = None  # the end of the last word, while an UtteranceEnd may follow
        self._answered = False  # whether a final has answered the `Finalize` whose `Finalized` comes next
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
        """See `ClientProtocol`."""
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
            self._model = message.model
        elif isinstance(message, SpeechStart):
            return self._speech_started(message.at_s)
        elif isinstance(message, Partial):
            return self._interim(message)
        elif isinstance(message, SpeechEnd):
            self._speaking = False
        elif isinstance(message, Final):
            return self._final(message, from_finalize=message.segment in flushed)
        elif isinstance(message, Finalized):
            return self._finalized()
        elif isinstance(message, Ack):
            return self._utterance_end(message.processed_s)
        elif isinstance(message, Done):
            return [self._metadata(message)]
        elif isinstance(message, Error):
            self._failed = message.code
            return [_error(message.code, message.message)]
        elif isinstance(message, Reconnect):
            return [
                _error("restart", "expected the stream to go on, got a server that stops; connect again.")
            ]
        return []

    def _speech_started(self, at_s: float) -> list[Frame]:
        ended, self._gap_from_s, self._speaking = self._utterance_end(at_s), None, True
        self._position_s = at_s
        event = {"type": "SpeechStarted", "channel": CHANNEL, "timestamp": round(at_s, 3)}
        return [*ended, Frame.of(event)] if self.options.vad_events else ended

    def _interim(self, partial: Partial) -> list[Frame]:
        text = self._written(partial.stable + partial.unstable)
        bounds_s = partial.start_s, partial.end_s
        return [self._results(bounds_s, text, is_final=False)] if text else []

    def _final(self, final: Final, *, from_finalize: bool) -> list[Frame]:
        self._position_s, self._answered = final.end_s, from_finalize
        if final.text and not self._speaking:
            self._gap_from_s = final.words[-1].end_s if final.words else final.end_s
        return [
            self._results(
                (final.start_s, final.end_s),
                self._written(final.text),
                final.words or (),
                speech_final=not self._speaking and self.options.endpointing is not None,
                from_finalize=from_finalize,
            )
        ]

    def _finalized(self) -> list[Frame]:
        """Answer a `Finalize` after which no final came."""
        answered, self._answered = self._answered, False
        bounds_s = self._position_s, self._position_s
        return [] if answered else [self._results(bounds_s, "", from_finalize=True)]

    def _utterance_end(self, processed_s: float) -> list[Frame]:
        """Return an `UtteranceEnd` once the silence after the last word has come to its length."""
        wanted_ms, end_s = self.options.utterance_end_ms, self._gap_from_s
        if wanted_ms is None or end_s is None or processed_s < end_s + wanted_ms / 1000:
            return []
        self._gap_from_s = None
        return [Frame.of({"type": "UtteranceEnd", "channel": CHANNEL, "last_word_end": round(end_s, 3)})]

    def _results(
        self,
        bounds_s: tuple[float, float],
        text: str,
        words: Sequence[Word] = (),
        *,
        is_final: bool = True,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> Frame:
        probabilities = [w.probability for w in words if w.probability is not None]
        confidence = sum(probabilities) / len(probabilities) if probabilities else 0.0
        alternative = {
            "transcript": text,
            "confidence": round(confidence, 4),
            "words": [self._word(w) for w in words],
        }
        values = {
            "type": "Results",
            "channel_index": CHANNEL,
            "start": round(bounds_s[0], 3),
            "duration": round(bounds_s[1] - bounds_s[0], 3),
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [alternative]},
            "metadata": {
                "request_id": self.request_id,
                "model_uuid": model_uuid(self._model),
                "model_info": self._model_info,
            },
        }
        return Frame.of(values, replaceable=not is_final)

    def _word(self, word: Word) -> dict[str, Any]:
        values = {
            "word": _bare(word.text) or word.text.lower(),
            "start": word.start_s,
            "end": word.end_s,
            "confidence": round(word.probability or 0.0, 4),
        }
        return values | ({"punctuated_word": word.text} if self._punctuated else {})

    def _written(self, text: str) -> str:
        """Return `text` with its punctuation and capitals only where a client asks for them."""
        return text.strip() if self._punctuated else _bare(text)

    @property
    def _punctuated(self) -> bool:
        return self.options.punctuate or self.options.smart_format

    @property
    def _model_info(self) -> dict[str, str]:
        return {"name": self._model, "version": "", "arch": "whisper"}

    def _metadata(self, done: Done) -> Frame:
        uuid_ = model_uuid(self._model)
        values = {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.request_id,
            "sha256": self._digest.hexdigest(),
            "created": self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "duration": round(done.audio_s, 3),
            "channels": 1,
            "models": [uuid_],
            "model_info": {uuid_: self._model_info},
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


def _bare(text: str) -> str:
    return join_texts(bare_words(text)).lower()


def _error(variant: str, description: str) -> Frame:
    return Frame.of({"type": "Error", "variant": variant, "description": description})


def _schema_error(frame: str) -> Frame:
    description = f"expected type {', '.join(MESSAGES)}, got {frame[:60]!r}."
    return Frame.of(
        {"type": "Error", "variant": "SchemaError", "description": description, "message": frame[:240]}
    )
