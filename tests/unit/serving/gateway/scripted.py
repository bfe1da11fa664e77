"""A host that decodes nothing and answers at once, for tests of what stands in front of hosts.

Each flush (`finalize`, `stop`) gives one final: how many bytes came since the one before.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from voxray.errors import ServiceError
from voxray.serving.protocol import (
    Call,
    Control,
    Host,
    HostGone,
    Input,
    Opened,
    Opening,
    Output,
    Refused,
    Reply,
)
from voxray.wire import Close, Done, Error, Final, Finalized, Partial, Ready, ServerMessage

CREDIT = 960_000  # bytes: 30 s at 16 kHz


@dataclass(slots=True)
class ScriptedSession:
    """One session. `items`: all that came, in order; `room`: bytes that may still come."""

    gateway: str
    token: str
    room: int
    epoch: int = 1
    present: bool = True
    received: int = 0
    flushed: int = 0
    segments: int = 0
    items: list[bytes | Control] = field(default_factory=list)
    messages: list[ServerMessage] = field(default_factory=list)
    close: Close | None = None

    def say(self, *messages: ServerMessage) -> None:
        """With the next call."""
        self.messages += messages


class ScriptedHost:
    """`protocol.Host` that a test can hold (`gate`), break (`failing`, `dead`) and slow down (`frozen`)."""

    def __init__(self, number: int = 1, credit_bytes: int = CREDIT) -> None:
        self.number, self.credit_bytes = number, credit_bytes
        self.openings = list[Opening]()
        self.calls = list[Call]()
        self.sessions = dict[str, ScriptedSession]()
        self.failing = 0  # calls to come that fail
        self.dead = False
        self.hung = False  # no flush is answered
        self.frozen = False  # nothing that comes is decoded, so that it uses up the room
        self.refusal: Refused | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = self.most_running = 0
        self._replies = dict[str, Reply]()
        self._replaced: defaultdict[str, list[Output]] = defaultdict(list)

    async def open(self, opening: Opening) -> Opened | Refused:
        """A new session, or the one that was asked for."""
        await self._answerable()
        self.openings.append(opening)
        if self.refusal:
            return self.refusal
        start = opening.start
        session = self.sessions.get(start.session or "")
        resumed = session is not None and session.token == start.resume_token
        if session and resumed:
            self._replace(start.session or "", session, opening.gateway)
        name = (start.session or "") if resumed else self._begin(opening)
        now = self.sessions[name]
        ready = Ready(name, now.token, resumed, now.received, "scripted")
        return Opened(name, now.token, now.epoch, (ready,), now.room)

    async def tick(self, call: Call) -> Reply:
        """The same number again gets the same reply."""
        self.calls.append(call)
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            await self._answerable()
        finally:
            self.running -= 1
        kept = self._replies.get(call.gateway)
        if kept is None or kept.number != call.number:
            self._replies[call.gateway] = kept = self._reply(call)
        if self.failing:  # it was heard, and the answer is lost
            self.failing -= 1
            raise ConnectionError("the answer was lost.")
        return kept

    def thaw(self) -> None:
        """All that came is decoded."""
        self.frozen = False
        for session in self.sessions.values():
            session.room = self.credit_bytes

    def audio_of(self, name: str) -> bytes:
        """All audio of a session."""
        return b"".join(item for item in self.sessions[name].items if isinstance(item, bytes))

    async def _answerable(self) -> None:
        await self.gate.wait()
        if self.dead:
            raise HostGone("the host is dead.")

    def _begin(self, opening: Opening) -> str:
        start, name = opening.start, f"{self.number}.{secrets.token_hex(16)}"
        token = secrets.token_hex(8)
        session = ScriptedSession(opening.gateway, token, self.credit_bytes)
        session.received = session.flushed = start.from_byte
        session.segments = start.have_segment + 1
        self.sessions[name] = session
        return name

    def _replace(self, name: str, session: ScriptedSession, gateway: str) -> None:
        if session.present:
            error = Error("resumed_elsewhere", "expected one connection, got another.")
            old = Output(name, session.epoch, (error,), close=Close.RESUMED_ELSEWHERE)
            self._replaced[session.gateway].append(old)
        session.gateway = gateway
        session.epoch += 1
        session.present = True

    def _reply(self, call: Call) -> Reply:
        for given in call.inputs:
            session = self.sessions.get(given.session)
            if session and session.epoch == given.epoch:
                self._receive(session, given)
        outputs = [*self._replaced.pop(call.gateway, ()), *self._outputs(call.gateway)]
        return Reply(call.number, tuple(outputs), len(self.sessions))

    def _receive(self, session: ScriptedSession, given: Input) -> None:
        session.items += given.items
        session.present = not given.left
        for item in given.items:
            if isinstance(item, bytes):
                session.received += len(item)
                session.room -= len(item)
            else:
                self._flush(session, stop=item.stop)
        if not self.frozen:
            session.room = self.credit_bytes

    def _flush(self, session: ScriptedSession, *, stop: bool) -> None:
        if self.hung:
            return
        if count := session.received - session.flushed:
            session.say(Partial(session.segments, 0.0, 1.0, "", "bytes"))
            session.say(Final(session.segments, 0.0, 1.0, f"{count} bytes"))
            session.segments += 1
            session.flushed = session.received
        session.say(Done(1.0, session.segments) if stop else Finalized())
        session.close = Close.NORMAL if stop else None

    def _outputs(self, gateway: str) -> Sequence[Output]:
        present = [(name, s) for name, s in self.sessions.items() if s.present and s.gateway == gateway]
        outputs = [Output(name, s.epoch, tuple(s.messages), s.room, s.close) for name, s in present]
        for _, session in present:
            session.messages.clear()
            session.present = session.close is None
        return outputs


class ScriptedDirectory:
    """`protocol.Directory` over hosts that a test made; the first that it takes for alive gets new sessions.

    `late`: it does not know yet which hosts are dead.
    """

    def __init__(self, *hosts: ScriptedHost) -> None:
        self.hosts = {host.number: host for host in hosts}
        self.asked = list[int]()
        self.full = self.late = False

    async def place(self, gateway: str, without: frozenset[str] = frozenset()) -> tuple[str, Host]:
        """As `protocol.Directory.place`."""
        named = {f"host-{host.number}": host for host in self.hosts.values() if self.late or not host.dead}
        left = [(name, host) for name, host in named.items() if name not in without]
        if self.full or not left:
            raise ServiceError("expected room for one more session, got none; try again later.")
        return left[0]

    async def find(self, number: int) -> tuple[str, Host] | None:
        """As `protocol.Directory.find`."""
        self.asked.append(number)
        host = self.hosts.get(number)
        return None if host is None else (f"host-{number}", host)
