"""One client's socket: what it may send when, and how it ends; `sockets.serve` does the I/O.

    GREETING   no message that begins a session has been received; for `limits.start_s` at most, and for
               `limits.idle_s` after a frame that a client may send before
    OPENING    the first message was received; a host is looked for, and further input waits
    OPEN       there is a session: audio goes on as the credit allows, output comes back
    CLOSED     the last message is in the outbox, or the client has disconnected

    GREETING -> OPENING -> OPEN -> CLOSED, and CLOSED from any of them

`stop` does not change the state: the session is flushed, and `Ending` says how the socket closes after that.
A client that is idle for `limits.idle_s` (it sends nothing, no input waits, and it has credit), or has been
connected for `limits.session_s`, is stopped as if it had asked: it gets its finals, `done`, and 1000 with the
reason. Where the flush fails, a client that asked to stop is to resume elsewhere (1012), and any other is to
try again later (1013).
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from voxray.errors import WireError
from voxray.serving.api_error import ApiError
from voxray.serving.client_protocols.base import ClientProtocol, Closing, Frame
from voxray.serving.gateway.audit import AuditLog
from voxray.serving.gateway.auth import AccessPolicy, expected_key
from voxray.serving.gateway.channels import ChannelGroup
from voxray.serving.gateway.host_client import UNAVAILABLE, HostClients, SessionOwner, detached_task
from voxray.serving.gateway.input_queue import Admission, InputQueue
from voxray.serving.gateway.metrics import Metrics
from voxray.serving.gateway.outbox import Outbox
from voxray.serving.gateway.quotas import QUOTA_EXCEEDED, KeyUsages, SessionUsage
from voxray.serving.gateway.timeouts import FLUSH_FAILED, STOPPED, ConnectionTimeouts, Ending
from voxray.serving.model_catalog import ModelCatalog
from voxray.serving.protocol import Control, Opened, Output, Refused
from voxray.serving.settings import Limits
from voxray.wire import Ack, Close, Done, Error, Finalize, Reconnect, ServerMessage, Start, Stop

log = logging.getLogger(__name__)

SESSION = re.compile(r"[0-9]+\.[0-9a-f]{32}")


class ConnectionState(Enum):
    """See the module."""

    GREETING = "greeting"
    OPENING = "opening"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """What the connections of a gateway share."""

    limits: Limits
    policy: AccessPolicy
    usages: KeyUsages
    audit: AuditLog
    models: ModelCatalog
    hosts: HostClients
    metrics: Metrics
    clock: Callable[[], float]


class Connection:
    """One client, without its socket: frames come in by `receive`, and go out through `outbox`.

    It is the `Peer` of its host's client.
    """

    def __init__(self, context: ConnectionContext, protocol: ClientProtocol, key: str | None) -> None:
        self.state = ConnectionState.GREETING
        self.received = 0  # frames
        self.outbox = Outbox(protocol, context.metrics)
        self._context, self._protocol = context, protocol
        self.limits, self._clock = context.limits, context.clock
        self._key = key
        self._input = InputQueue(protocol.defaults.bytes_per_second, context.limits)
        self._timeouts = ConnectionTimeouts(context.limits, context.clock())
        self._began_s = context.clock()
        self._usage: SessionUsage | None = None
        self._ending: Ending | None = None
        self._opened: Opened | None = None
        self._host: SessionOwner | None = None
        self._opening: asyncio.Task[None] | None = None

    # Called for the client.

    def receive(self, frame: str | bytes) -> None:
        """Process a frame. Frames that come after the gateway has decided to end are ignored."""
        if self.closed or (self._ending and not self._ending.asked):
            return
        self.received += 1
        self._context.metrics.messages_in.inc()
        if len(frame) > self.limits.frame_bytes:
            message = f"expected frames of at most {self.limits.frame_bytes} bytes, got one of {len(frame)}."
            return self._fail(Close.TOO_BIG, "too_big", message)
        try:
            items = self._protocol.read(frame)
            if frame or any(items):  # an empty frame of audio is no sign of life
                self._timeouts.received(self._clock())
            for item in items:
                self._process(item)
        except WireError as e:
            self._fail(Close.BAD_MESSAGE, "bad_message", str(e))

    def greet(self) -> None:
        """Send what the protocol begins with."""
        self.outbox.put_frames(*self._protocol.greeting())

    def start_timed_out(self) -> None:
        """Close if no session has begun; to be called when the client has sent nothing for too long."""
        if self.state is ConnectionState.GREETING:
            message = f"expected a first message within {self.limits.start_s:g} s, got none."
            self._fail(Close.BAD_MESSAGE, "silent", message)

    def leave(self) -> None:
        """Drop waiting input, and report the disconnect to the host. The client may resume its session."""
        if not self.closed:
            self._audit()
        self.state = ConnectionState.CLOSED
        self._input.clear()
        self.outbox.end(Closing(Close.NORMAL))
        if self._host and self._opened:
            self._host.leave(self._opened.session, self._opened.epoch)

    # Called for the gateway and the host.

    @property
    def closed(self) -> bool:
        """Whether nothing more goes either way, but for what is in the outbox."""
        return self.state is ConnectionState.CLOSED

    @property
    def has_session(self) -> bool:
        """Whether a session is open."""
        return self.state is ConnectionState.OPEN

    def session_opened(self, opened: Opened, host: SessionOwner) -> None:
        """As `Peer.session_opened`."""
        self._opened, self._host = opened, host
        if self._usage:
            self._usage.session = opened.session
        if self.closed:
            return
        self.state = ConnectionState.OPEN
        self._timeouts.progressed(self._clock())
        self._input.set_credit(opened.credit_bytes)
        self.outbox.put_replay(opened.messages)

    def session_refused(self, refused: Refused) -> None:
        """As `Peer.session_refused`."""
        self._fail(refused.close, refused.code, refused.message)

    def next_input(self) -> tuple[bytes | Control, ...]:
        """As `Peer.next_input`. Time limits are checked here, as it is called once a tick."""
        now_s = self._clock()
        if self._ending and self._timeouts.flush_failed(now_s):
            self._abandon_flush(self._ending)
        elif not self._ending:
            waiting = bool(self._input) or self._input.credit <= 0
            if ending := self._timeouts.expired(now_s, waiting=waiting):
                self._stop(ending)
            elif self._timeouts.pause_began(now_s, self._protocol.finalize_after_s):
                self._input.receive_finalize(now_s)
        if batch := self._input.pop_batch():
            self._timeouts.progressed(now_s)
        return batch

    def receive_output(self, output: Output) -> None:
        """As `Peer.receive_output`."""
        self._input.set_credit(output.credit_bytes)
        try:
            kept = self.outbox.put(*output.messages)
        except Exception:  # a defect of the protocol, which must not end the calls for all other clients
            log.exception("session %s: messages that cannot be written", output.session)
            return self.restart()
        if not kept:
            return self._fail_slow_reader()
        self._count_audio(output.messages)
        if not all(isinstance(message, Ack) for message in output.messages):  # acks also come in silence
            self._timeouts.progressed(self._clock())
        if output.close is Close.NORMAL and self._ending:
            ending = self._ending
            self._close(Closing(ending.close, ending.reason), *filter(None, [ending.error]))
        elif output.close is Close.RESTART:
            self.restart()
        elif output.close is not None:
            self._close(Closing(output.close))

    def restart(self) -> None:
        """As `Peer.restart`: the client resumes its session, here or elsewhere, or begins it anew."""
        if self.closed:
            return
        self._context.metrics.reconnects.inc()
        token = [Reconnect(self._opened.resume_token)] if self._opened else []
        self._close(Closing(Close.RESTART, "restart"), *token)

    # What follows from a message.

    def _process(self, message: Start | Finalize | Stop | bytes | Frame) -> None:
        if isinstance(message, Frame):
            return None if self.outbox.put_frames(message) else self._fail_slow_reader()
        if self.state is ConnectionState.GREETING:
            self._begin(message if isinstance(message, Start) else self._protocol.defaults)
        elif isinstance(message, Start):
            raise WireError("start: expected one, as the first message, got another.")
        if self._ending:
            raise WireError(f"expected nothing after stop, got {_kind(message)}.")
        if self.closed or isinstance(message, Start):
            return
        if isinstance(message, Stop):
            self._stop(STOPPED)
        elif isinstance(message, Finalize):
            self._receive_finalize()
        else:
            self._receive_audio(message)

    def _begin(self, start: Start) -> None:
        if not self._context.policy.admits(key := self._key or start.api_key):
            return self._fail(Close.NOT_ALLOWED, "not_allowed", expected_key(key))
        if start.session is not None and not SESSION.fullmatch(start.session):
            raise WireError("start: session: expected one that `ready` gave, got something else.")
        group = ChannelGroup(start, self) if start.multichannel and start.channels > 1 else None
        usage = self._context.usages.of(key)
        if refused := usage.session_refusal(start.session):
            return self.session_refused(refused)
        channels = start.channels if group else 1
        self._usage = usage.begin_session(resumed=start.session is not None, channels=channels)
        self.state = ConnectionState.OPENING
        self._input = InputQueue(start.bytes_per_second, self.limits)
        self._opening = detached_task(self._open(start.model_copy(update={"api_key": None}), key, group))

    async def _open(self, start: Start, key: str | None, group: ChannelGroup | None) -> None:
        """Begin to open a session with the model that the client's name stands for."""
        try:
            model = await self._context.models.choose(start.model, key)
        except ApiError as e:
            return self._fail(Close.BAD_MESSAGE, e.code or "bad_message", e.message)
        except Exception:  # of the trainings' storage, or a defect: the client must not be left waiting
            log.exception("a model cannot be looked up")
            return self.session_refused(UNAVAILABLE)
        if self.closed:
            return
        start = start.model_copy(update={"model": model})
        owner = self._context.policy.owner(key)
        if group:
            group.open(start, self._context.hosts, owner)
        else:
            self._context.hosts.open(start, self, resumable=self._protocol.resumable, owner=owner)

    def _receive_finalize(self) -> None:
        if self._input.receive_finalize(self._clock()) is Admission.TOO_FAST:
            message = (
                f"expected at most {self.limits.finalizes_per_s:g} finalize messages a second, got more."
            )
            self._fail(Close.BAD_MESSAGE, "too_fast", message)

    def _receive_audio(self, data: bytes) -> None:
        self._context.metrics.audio_bytes.inc(len(data))
        self._timeouts.audio_received(self._clock())
        admission, waiting = self._input.receive_audio(data, self._clock()), self._input.waiting
        if admission is Admission.TOO_FAST:
            message = (
                f"expected at most {self.limits.overspeed:g} times real time beyond credit_bytes, got "
                f"{len(data)} bytes while {waiting} wait; send what `ack` gives credit for."
            )
            self._fail(Close.BAD_MESSAGE, "too_fast", message)
        elif admission is Admission.LAGGING:
            message = (
                f"expected to keep up with live audio, got {waiting} bytes behind; the finals of those have "
                "been sent, and what follows is dropped; try again later."
            )
            self._stop(Ending(Close.FULL, "lagging", Error("lagging", message)))

    def _count_audio(self, messages: Sequence[ServerMessage]) -> None:
        """Count what was decoded; a session that exceeds its key's quota gets its finals, and ends."""
        ends_s = [
            m.processed_s if isinstance(m, Ack) else m.audio_s for m in messages if isinstance(m, Ack | Done)
        ]
        if not ends_s or not self._usage or self._usage.processed(max(ends_s)) or self._ending:
            return
        error = Error(QUOTA_EXCEEDED, self._usage.key.audio_message)
        self._stop(Ending(Close.BAD_MESSAGE, QUOTA_EXCEEDED, error))

    def _audit(self) -> None:
        closing = self.outbox.closing
        self._context.audit.write(
            "connection",
            key=self._usage.key.name if self._usage else None,
            session=self._opened.session if self._opened else None,
            seconds=self._clock() - self._began_s,
            audio_s=self._usage.audio_s if self._usage else 0.0,
            code=int(closing.code) if closing else None,
            reason=closing.reason if closing else "left",
        )
        if self._usage:
            self._usage.end()

    def _stop(self, ending: Ending) -> None:
        self._ending = ending
        self._input.receive_stop()
        self._timeouts.progressed(self._clock())

    def _abandon_flush(self, ending: Ending) -> None:
        if ending.asked:
            self.restart()
        else:
            self._close(Closing(Close.FULL, FLUSH_FAILED.code), FLUSH_FAILED)

    def _fail_slow_reader(self) -> None:
        self.outbox.clear()
        message = f"expected messages to be read, got {self.outbox.limit} characters left unread."
        self._fail(Close.BAD_MESSAGE, "slow_reader", message)

    def _fail(self, close: Close, code: str, message: str) -> None:
        self._close(Closing(close, code), Error(code, message))

    def _close(self, closing: Closing, *messages: ServerMessage) -> None:
        """Send `messages`, then close."""
        if self.closed:
            return
        session = self._opened.session if self._opened else "none"
        log.info("closed %d %s, session %s", closing.code, closing.reason or "normal", session)
        self._context.metrics.closed.labels(code=str(int(closing.code))).inc()
        self.outbox.put(*messages)
        self.outbox.end(closing)
        self.leave()


def _kind(message: object) -> str:
    return "audio" if isinstance(message, bytes) else type(message).__name__.lower()
