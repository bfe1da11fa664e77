"""One client's socket: what it may say when, and how it ends. `attend` at the end is all that waits.

    GREETING   nothing has come yet; for `limits.start_s` at most
    OPENING    the first message was heard; a host is looked for, and what comes waits
    OPEN       the session is there: audio goes on as the credit allows, events come back
    CLOSED     the last message is in the outbox, or nobody is there to be sent one

    GREETING -> OPENING -> OPEN -> CLOSED, and CLOSED from any of them

`stop` does not change the state: what is heard goes to its end, and `Ending` says how the socket closes then.
A client that falls silent for `limits.idle_s` (nothing comes, nothing waits, and it has credit), or is here
for `limits.session_s`, did nothing wrong: its session is stopped as if it had asked, and it gets its finals,
`done`, and 1000 with the reason. Where these do not come, a client that asked is to resume elsewhere (1012),
and another is told to try again later (1013).
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from voxray.errors import WireError
from voxray.serving.gateway.auth import AccessPolicy, expected_key
from voxray.serving.gateway.client_protocol import ClientProtocol
from voxray.serving.gateway.host_client import HostClient, HostClients
from voxray.serving.gateway.input_queue import InputQueue, Verdict
from voxray.serving.gateway.metrics import AUDIO_BYTES, CLOSED, MESSAGES_IN, RECONNECTS, Metrics
from voxray.serving.gateway.outbox import Closing, Outbox
from voxray.serving.gateway.timeouts import LATE, STOPPED, ConnectionTimeouts, Ending
from voxray.serving.protocol import Control, Opened, Output, Refused
from voxray.serving.settings import Limits
from voxray.wire import Close, Error, Finalize, Reconnect, ServerMessage, Start, Stop, render

log = logging.getLogger(__name__)

CLOSE_S = 5.0  # for a client to take its last messages
ACK = '{"type": "ack"'  # as wire.render begins one; they come also while nothing else does
SESSION = re.compile(r"[0-9]+\.[0-9a-f]{32}")


class State(Enum):
    """Of a connection; see above."""

    GREETING = "greeting"
    OPENING = "opening"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """What the connections of a gateway share."""

    limits: Limits
    door: AccessPolicy
    links: HostClients
    watch: Metrics
    clock: Callable[[], float]


class Connection:
    """One client. It is `links.Peer` to the link of its host."""

    def __init__(self, terms: ConnectionContext, dialect: ClientProtocol, key: str | None) -> None:
        self.state = State.GREETING
        self.outbox = Outbox(terms.watch)
        self._terms, self._dialect = terms, dialect
        self._key = key
        self._inflow = InputQueue(dialect.defaults.bytes_per_second, terms.limits)
        self._ending: Ending | None = None
        self._opened: Opened | None = None
        self._link: HostClient | None = None
        self._stay = ConnectionTimeouts(terms.limits, terms.clock())

    # What the client does.

    def receive(self, frame: str | bytes) -> None:
        """A frame came. What comes after the gateway itself has decided to end is not heard."""
        if self.state is State.CLOSED or (self._ending and not self._ending.asked):
            return
        self._terms.watch.add(MESSAGES_IN)
        limit = self._terms.limits.frame_bytes
        if len(frame) > limit:
            message = f"expected frames of at most {limit} bytes, and one of {len(frame)} came."
            return self._fail(Close.TOO_BIG, "too_big", message)
        try:
            self._hear(frame)
        except WireError as e:
            self._fail(Close.BAD_MESSAGE, "bad_message", str(e))

    def hurry(self) -> None:
        """`limits.start_s` have gone by since the socket was opened."""
        if self.state is State.GREETING:
            message = f"expected a first message within {self._terms.limits.start_s:g} s, and none came."
            self._fail(Close.BAD_MESSAGE, "silent", message)

    def leave(self) -> None:
        """The client is gone: what it had queued is dropped, and its session kept for it at the host."""
        self.state = State.CLOSED
        self._inflow.drop()
        self.outbox.end(Closing(Close.NORMAL))
        if self._link and self._opened:
            self._link.leave(self._opened.session, self._opened.epoch)

    # What its gateway and its host do.

    @property
    def closed(self) -> bool:
        """Whether nothing more goes either way, but for what is in the outbox."""
        return self.state is State.CLOSED

    @property
    def start_s(self) -> float:
        """How long its first message may take."""
        return self._terms.limits.start_s

    @property
    def served(self) -> bool:
        """Whether it has a session."""
        return self.state is State.OPEN

    def opened(self, opened: Opened, link: HostClient) -> None:
        """As `links.Peer.opened`."""
        self._opened, self._link = opened, link
        if self.closed:
            return
        self.state = State.OPEN
        self._stay.moved(self._terms.clock())
        self._inflow.grant(opened.credit_bytes)
        self.outbox.admit(tuple(filter(None, map(self._dialect.write, opened.messages))))

    def refused(self, refused: Refused) -> None:
        """As `links.Peer.refused`."""
        self._fail(refused.close, refused.code, refused.message)

    def take(self) -> tuple[bytes | Control, ...]:
        """As `links.Peer.take`."""
        now_s = self._terms.clock()
        if self._ending and self._stay.late(now_s):
            self._give_up(self._ending)
        elif not self._ending:
            waits = bool(self._inflow) or self._inflow.credit <= 0
            if ending := self._stay.over(now_s, waits=waits):
                self._stop(ending)
        if taken := self._inflow.take():
            self._stay.moved(now_s)
        return taken

    def tell(self, output: Output) -> None:
        """As `links.Peer.tell`."""
        self._inflow.grant(output.credit_bytes)
        self._send(output.messages)
        if not all(message.startswith(ACK) for message in output.messages):
            self._stay.moved(self._terms.clock())
        if output.close is Close.NORMAL and self._ending:
            ending = self._ending
            self._finish(Closing(ending.close, ending.reason), *filter(None, [ending.error]))
        elif output.close is Close.RESTART:
            self.restart()
        elif output.close is not None:
            self._finish(Closing(output.close))

    def lost(self) -> None:
        """As `links.Peer.lost`."""
        self.restart()

    def restart(self) -> None:
        """Ask the client to connect again: here or elsewhere it finds its session, or begins it anew."""
        if self.closed:
            return
        self._terms.watch.add(RECONNECTS)
        token = [Reconnect(self._opened.resume_token)] if self._opened else []
        self._finish(Closing(Close.RESTART, "restart"), *token)

    # What follows from that.

    def _hear(self, frame: str | bytes) -> None:
        message = self._dialect.read(frame)
        if message:  # an empty frame says nothing
            self._stay.heard(self._terms.clock())
        if self.state is State.GREETING:
            self._begin(message if isinstance(message, Start) else self._dialect.defaults)
        elif isinstance(message, Start):
            raise WireError("start: expected once, before all else, and another came.")
        if self._ending:
            raise WireError(f"expected nothing after stop, and {_named(message)} came.")
        if self.closed or isinstance(message, Start):
            return
        if isinstance(message, Stop):
            self._stop(STOPPED)
        elif isinstance(message, Finalize):
            self._hear_finalize()
        else:
            self._hear_audio(message)

    def _begin(self, start: Start) -> None:
        if not self._terms.door.admits(key := self._key or start.api_key):
            return self._fail(Close.NOT_ALLOWED, "not_allowed", expected_key(key))
        if start.session is not None and not SESSION.fullmatch(start.session):
            raise WireError("start: session: expected one that `ready` gave, and something else came.")
        self.state = State.OPENING
        self._inflow = InputQueue(start.bytes_per_second, self._terms.limits)
        start = start.model_copy(update={"api_key": None})
        self._terms.links.open(start, self, resumable=self._dialect.resumable)

    def _hear_finalize(self) -> None:
        if self._inflow.receive_finalize(self._terms.clock()) is Verdict.TOO_FAST:
            limit = self._terms.limits.finalizes_per_s
            message = f"expected at most {limit:g} finalize messages a second, and more came."
            self._fail(Close.BAD_MESSAGE, "too_fast", message)

    def _hear_audio(self, data: bytes) -> None:
        self._terms.watch.add(AUDIO_BYTES, len(data))
        verdict, waiting = self._inflow.receive_audio(data, self._terms.clock()), self._inflow.waiting
        if verdict is Verdict.TOO_FAST:
            message = (
                f"expected at most {self._terms.limits.overspeed:g} times real time beyond credit_bytes, and "
                f"{len(data)} bytes came while {waiting} wait; send what `ack` gives credit for."
            )
            self._fail(Close.BAD_MESSAGE, "too_fast", message)
        elif verdict is Verdict.LAGGING:
            message = (
                f"expected to follow live audio, and {waiting} bytes of it wait; the finals of those are "
                "out, and what came after them is not heard; try again later."
            )
            self._stop(Ending(Close.FULL, "lagging", Error("lagging", message)))

    def _stop(self, ending: Ending) -> None:
        self._ending = ending
        self._inflow.stop()
        self._stay.moved(self._terms.clock())

    def _give_up(self, ending: Ending) -> None:
        """Its finals do not come."""
        if ending.asked:
            self.restart()
        else:
            self._finish(Closing(Close.FULL, LATE.code), LATE)

    def _send(self, messages: tuple[str, ...]) -> None:
        for message in messages:
            written = self._dialect.write(message)
            if written and not self.outbox.put(written):
                self.outbox.clear()
                expected = f"expected messages to be read, and {self.outbox.full} characters were left."
                return self._fail(Close.BAD_MESSAGE, "slow_reader", expected)

    def _fail(self, close: Close, code: str, message: str) -> None:
        self._finish(Closing(close, code), Error(code, message))

    def _finish(self, closing: Closing, *messages: ServerMessage) -> None:
        """Say `messages`, then close."""
        if self.closed:
            return
        session = self._opened.session if self._opened else "none"
        log.info("closed %d %s, session %s", closing.code, closing.reason or "normal", session)
        self._terms.watch.add(CLOSED, label=str(int(closing.code)))
        for message in messages:
            if written := self._dialect.write(render(message)):
                self.outbox.put(written)
        self.outbox.end(closing)
        self.leave()


def _named(message: object) -> str:
    return "audio" if isinstance(message, bytes) else type(message).__name__.lower()


async def attend(websocket: WebSocket, connection: Connection) -> None:
    """Carry frames between an accepted socket and its connection until either side has closed."""
    timer = asyncio.get_running_loop().call_later(connection.start_s, connection.hurry)
    work = (_read(websocket, connection), _write(websocket, connection.outbox), _expire(connection.outbox))
    tasks = [asyncio.create_task(w) for w in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        connection.leave()
        timer.cancel()
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


async def _read(websocket: WebSocket, connection: Connection) -> None:
    """Eagerly: nothing below pushes back, so that what is not taken piles up unseen."""
    while (message := await websocket.receive())["type"] == "websocket.receive":
        text = message.get("text")
        connection.receive(text if text is not None else message["bytes"])


async def _write(websocket: WebSocket, outbox: Outbox) -> None:
    try:
        while isinstance(message := await outbox.take(), str):
            await websocket.send_text(message)
        await websocket.close(message.code, message.reason)
    except (WebSocketDisconnect, WebSocketDisconnected):
        return


async def _expire(outbox: Outbox) -> None:
    """A client that does not take its last messages must not keep its place for ever."""
    await outbox.ended.wait()
    await asyncio.sleep(CLOSE_S)
