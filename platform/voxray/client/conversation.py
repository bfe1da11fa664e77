"""The client's side of one stream, over as many connections as it takes: sans I/O, without a clock.

    OPENING -- ready --> OPEN -- done --> DONE
       ^                  |
       +--- opened() -- LOST <-- reconnect, or closed() with a code that a new connection may mend

Call `opened`, `receive_message` and `closed` for what happens on the connection, and `add`, `finalize` and
`stop` for what the user does; after each of them send what `message_to_send()` returns until it is None.
`receive_message` and `closed` return events. What these guarantee over all losses: segments count up by one,
each begins with `speech_start` and has one final, and its `stable` text stays. Only where the server lost the
session does the open segment begin anew: its `speech_start` comes a second time, and what was shown of it is
void. A `speech_end` may be lost.
"""

import json
from dataclasses import dataclass
from enum import Enum

from voxray.client.header import StreamHeader
from voxray.client.replay import Mark, Replay
from voxray.errors import ServiceError, VoxrayError, WireError
from voxray.wire import (
    NO_SEGMENT,
    Ack,
    Close,
    Done,
    Error,
    Final,
    Finalized,
    Partial,
    Ready,
    Reconnect,
    SpeechEnd,
    SpeechStart,
    Start,
    parse_server,
)

FRAME_BYTES = 32_000  # at most this much audio in one frame: 1 s of 16 kHz mono
FIRST_CREDIT_S = 2.0  # of audio that may be sent before the first ack
CONTAINER_BYTES_PER_SECOND = 32_000  # a guess, for containers: their rate is not known here
LOST_WITH_ACTOR = "not_resumable"  # code of the error that ends a container whose session is gone

ABNORMAL = 1006  # what a connection without a close frame counts as (RFC 6455, 7.4.1)
SILENT = 1011  # what a silent one is closed with, as websockets does where no pong comes

OUR_FAULT = {Close.NOT_AUDIO, Close.BAD_MESSAGE, Close.TOO_BIG}
FINAL = OUR_FAULT | {Close.NOT_ALLOWED, Close.RESUMED_ELSEWHERE}


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection was lost, and why; a `Ready` follows when the client is connected again."""

    reason: str


Event = Ready | Lost | SpeechStart | Partial | SpeechEnd | Final | Ack | Finalized | Done
"""What a stream yields to its user."""


class ConversationState(Enum):
    """State of a conversation."""

    LOST = "lost"
    OPENING = "opening"
    OPEN = "open"
    DONE = "done"


class Conversation:
    """The state of one stream: what was sent, received and is to be sent. `start` asks for a new session."""

    def __init__(self, start: Start, first_credit_s: float = FIRST_CREDIT_S) -> None:
        self.state = ConversationState.LOST
        self.have_segment = NO_SEGMENT
        self.ready: Ready | None = None
        self.ack: Ack | None = None
        self._start = start
        self._first_credit = int(first_credit_s * self.bytes_per_second)
        self._replay = Replay()
        self._session: str | None = None
        self._token: str | None = None
        self._limit = 0  # no byte from here on may be sent yet
        self._received = 0  # bytes that the server has acknowledged
        self._begun = NO_SEGMENT
        self._ended = NO_SEGMENT
        self._stable = ""
        self._header = StreamHeader(start)
        self._processed_s = 0.0  # the most that any session has processed
        self._found = (0, 0.0)  # `keep_from_byte` and `processed_s` when this connection began
        self._error: Error | None = None
        self.advanced = False  # whether this connection brought the stream further than those before

    # Calls of the user.

    def add(self, audio: bytes) -> None:
        """Add audio, as `start` describes it. Raises ServiceError after `stop` or the server's end."""
        self._check_open()
        self._header.add(audio)
        self._replay.append(audio)

    def finalize(self) -> None:
        """Ask for the finals of all audio so far; one `Finalized` answers it."""
        self._check_open()
        self._replay.mark(stop=False)

    def stop(self) -> None:
        """Ask for all finals and the end; a second call changes nothing."""
        if self.state is not ConversationState.DONE and not self._replay.stopping:
            self._replay.mark(stop=True)

    # Events of the connection.

    def opened(self) -> str:
        """Begin a connection: return the `start` that must be sent first on it."""
        self.state, self._error, self.advanced = ConversationState.OPENING, None, False
        fields = self._start.model_dump(exclude_defaults=True)
        if self._session is not None:
            fields |= {
                "session": self._session,
                "resume_token": self._token,
                "have_segment": self.have_segment,
                "from_byte": self._replay.start,
            }
        return json.dumps({"type": "start", **fields}, ensure_ascii=False)

    def receive_message(self, text: str) -> list[Event]:
        """Return the events of a message, often none. Raises WireError where the message is not allowed."""
        message = parse_server(text)
        if self.state is ConversationState.OPENING and not isinstance(
            message, Ready | Error | Reconnect | None
        ):
            raise WireError(f"expected ready first, got {type(message).__name__}.")
        match message:
            case Ready():
                return [self._begin(message)]
            case Ack():
                return self._acknowledge(message)
            case SpeechStart() | Partial() | SpeechEnd() | Final():
                return self._segment(message)
            case Finalized():
                return [message] if self._replay.answered() else []
            case Done():
                self.state = ConversationState.DONE
                return [*[Finalized()] * self._replay.finished(), message]
            case Reconnect():
                self._token = message.resume_token
                return [self._lose("the server restarts")]
            case Error():
                self._error = message
        return []

    def closed(self, code: int, reason: str = "") -> Lost | None:
        """End a connection. Raises the server's error where a new one would not help."""
        sentence = self._error.message if self._error else reason
        if self.state is ConversationState.DONE and not self._replay.complete:
            raise _error(
                code, sentence or f"expected the stream to go on, got its end by the server ({code})."
            )
        if self.state in (ConversationState.LOST, ConversationState.DONE):
            return None
        refused = self.ready is None and code not in (Close.RESTART, ABNORMAL)  # neither says anything of it
        if refused or code in FINAL or (self._error and self._error.code == LOST_WITH_ACTOR):
            raise _error(code, sentence)
        return self._lose(sentence or f"closed with {code}")

    # Messages to the server.

    def message_to_send(self) -> bytes | str | None:
        """Return the next message that may be sent, which then counts as sent; None: wait."""
        if self.state is not ConversationState.OPEN:
            return None
        next_ = self._replay.next_to_send(self._limit, FRAME_BYTES)
        if isinstance(next_, Mark):
            return json.dumps({"type": "stop" if next_.stop else "finalize"})
        return next_

    @property
    def is_listening(self) -> bool:
        """Whether something may still come on this connection; after an early end, the reason for it."""
        if self.state is ConversationState.DONE:
            return not self._replay.complete
        return self.state is not ConversationState.LOST

    @property
    def expects_answer(self) -> bool:
        """Whether the server owes a message: it then is silent for a second at most."""
        if self.state is ConversationState.OPENING:
            return True
        if self.state is ConversationState.DONE:
            return self.is_listening
        return self.state is ConversationState.OPEN and (
            self._replay.unanswered or self._replay.sent > self._received
        )

    @property
    def unsent(self) -> int:
        """Bytes that wait for a connection or for credit."""
        return self._replay.unsent

    @property
    def held(self) -> int:
        """Bytes in memory: those that wait, and those that may be asked for again."""
        return self._replay.held

    @property
    def bytes_per_second(self) -> int:
        """Of the audio in real time; for containers a guess."""
        return self._start.bytes_per_second or CONTAINER_BYTES_PER_SECOND

    @property
    def lag_s(self) -> float:
        """Seconds of audio that are not decoded yet, here and at the server, as far as is known."""
        here = (self._replay.end - self._received) / self.bytes_per_second
        return here + (self.ack.lag_s if self.ack else 0.0)

    # Transitions.

    def _begin(self, ready: Ready) -> Ready:
        if self.state is not ConversationState.OPENING:
            raise WireError("expected one ready per connection, got a second.")
        self._check_continuable(ready)
        self._replay.rewind(ready.received_bytes, kept=ready.resumed)
        if not ready.resumed:
            self._begun = self._ended = self.have_segment
            self._stable = ""
        self.state, self.ready = ConversationState.OPEN, ready
        self._session, self._token = ready.session, ready.resume_token
        self._received = ready.received_bytes
        self._limit = ready.received_bytes + self._first_credit
        self._found = self._replay.start, self._processed_s
        return ready

    def _check_continuable(self, ready: Ready) -> None:
        """A new session that begins in the middle of the stream knows its format only from `start`."""
        if not ready.resumed and self._replay.start and self._header.differs:
            raise ServiceError(
                f"{LOST_WITH_ACTOR}: expected the session that received the stream's RIFF header, which "
                "differs from start, but the server has lost it; send the stream anew, or with the header's "
                "format in start."
            )

    def _acknowledge(self, ack: Ack) -> list[Event]:
        self.ack, self._received = ack, ack.received_bytes
        kept, processed_s = self._found
        self.advanced |= ack.keep_from_byte > kept or ack.processed_s > processed_s
        self._processed_s = max(self._processed_s, ack.processed_s)
        self._limit = ack.received_bytes + ack.credit_bytes
        missed = self._replay.acknowledged(ack.received_bytes, ack.keep_from_byte)
        self._replay.drop_before(ack.keep_from_byte - ack.keep_from_byte % self._start.frame_bytes)
        return [*[Finalized()] * missed, ack]

    def _segment(self, event: SpeechStart | Partial | SpeechEnd | Final) -> list[Event]:
        """Return `event` if it is new, after the start of its segment if that was lost."""
        if event.segment <= self.have_segment:
            return []
        begins = event.segment > self._begun
        if begins:
            self._begun, self._stable = event.segment, ""
        if isinstance(event, SpeechStart):
            return [event] if begins else []
        at_s = event.at_s if isinstance(event, SpeechEnd) else event.start_s
        news: list[Event] = [event] if self._is_news(event) else []
        return [SpeechStart(event.segment, at_s), *news] if begins else news

    def _is_news(self, event: Partial | SpeechEnd | Final) -> bool:
        """Return whether `event` adds to what was reported of the segment that has begun."""
        match event:
            case Partial():
                longer = event.stable.startswith(self._stable)
                self._stable = event.stable if longer else self._stable
                return longer
            case SpeechEnd():
                first, self._ended = event.segment > self._ended, event.segment
                return first
            case Final():
                self.have_segment, self.advanced = event.segment, True
                self._drop_transcribed(event)
                return True

    def _drop_transcribed(self, final: Final) -> None:
        """Forget the audio of a final, so that a session that replaces this one does not repeat it."""
        if self._start.bytes_per_second and not self._header.found:  # it may say another rate than `start`
            frame = self._start.frame_bytes
            self._replay.drop_before(int(final.end_s * self._start.sample_rate + 1e-6) * frame)

    def _lose(self, reason: str) -> Lost:
        self.state = ConversationState.LOST
        return Lost(reason)

    def _check_open(self) -> None:
        if self.state is ConversationState.DONE or self._replay.stopping:
            raise ServiceError("expected nothing more after the stream's end, got more audio or a request.")


def _error(code: int, sentence: str) -> VoxrayError:
    kind = WireError if code in OUR_FAULT else ServiceError
    return kind(sentence or f"the server closed the connection with {code} and gave no reason.")
