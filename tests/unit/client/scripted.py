"""A server that hears what is written in the audio: for tests of clients, without any model.

Each millisecond of audio holds one number: 0 is silence, any other the word `w<number>`. Sessions are kept,
resumed and lost, audio is acknowledged and credited, as the service does it. `ScriptedServer` is pure;
`serving` puts it behind a socket.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from struct import iter_unpack, pack

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from voxray.transcript import Word
from voxray.wire import (
    Ack,
    Close,
    Done,
    Error,
    Final,
    Finalized,
    Partial,
    Ready,
    ServerMessage,
    SpeechEnd,
    SpeechStart,
    Start,
    Stop,
    parse_client,
    render,
)

ENDPOINT = 3  # milliseconds of silence that end an utterance
LONGEST = 6  # words, after which an utterance is cut
ROOM_S = 30.0


def spoken(numbers: list[int], sample_rate: int = 16_000) -> bytes:
    """Mono s16le audio that says `numbers`, one a millisecond."""
    return b"".join(pack("<h", n) * (sample_rate // 1000) for n in numbers)


def words(numbers: list[int]) -> str:
    """What a server hears in them."""
    return " ".join(f"w{n}" for n in numbers if n)


@dataclass
class ScriptedSession:
    """One session from byte `base` on; `messages` are to be sent to the connection that it has."""

    id: str
    token: str
    cell: int  # bytes of a millisecond
    base: int = 0
    segment: int = 0
    room: int = 0
    words: bool = False
    audio: bytearray = field(default_factory=bytearray)
    marks: list[tuple[int, bool]] = field(default_factory=list)
    finals: list[Final] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    decoded: int = 0  # byte; what is before it is decoded
    done: bool = False
    _open: list[int] = field(default_factory=list)  # words of the utterance
    _begin: int = 0
    _end: int = 0

    @property
    def received(self) -> int:
        """The byte after the last that came."""
        return self.base + len(self.audio)

    def receive(self, audio: bytes) -> None:
        """More audio."""
        assert not self.marks or not self.marks[-1][1], "audio after stop"
        self.audio += audio

    def mark(self, *, stop: bool) -> None:
        """`finalize` or `stop`; after a stop, another is ignored."""
        if self.done or (self.marks and self.marks[-1][1]):
            return
        self.marks.append((self.received, stop))
        self._settle()

    def advance(self, milliseconds: int) -> None:
        """Decode that much more, where it is there."""
        for _ in range(milliseconds):
            self._settle()
            at = self.decoded - self.base
            if at + self.cell > len(self.audio):
                return
            ((number,), *_rest) = iter_unpack("<h", bytes(self.audio[at : at + self.cell]))
            self.decoded += self.cell
            self._decode(number)
        self._settle()

    def acknowledge(self) -> None:
        """Say how far it is."""
        lag = self.received - self.decoded
        keep = self._begin if self._open else self.decoded
        self._say(
            Ack(self.received, keep, max(0, self.room - lag), self._s(self.decoded), self._ms(lag) / 1000)
        )

    def resume(self, have_segment: int, *, resumed: bool) -> None:
        """A new connection: `ready`, the finals that it lacks, and `done` where that was said."""
        self.messages.clear()
        self._say(Ready(self.id, self.token, resumed, self.received, "scripted"))
        for final in self.finals:
            if final.segment > have_segment:
                self._say(final)
        if self.done:
            self._finish_stream()

    def _decode(self, number: int) -> None:
        if number:
            if not self._open:
                self._begin = self.decoded - self.cell
                self._say(SpeechStart(self.segment, self._s(self._begin)))
            self._open.append(number)
            self._end = self.decoded
            *stable, last = [f"w{n}" for n in self._open]
            text = " ".join(stable), f" w{number}" if stable else last
            self._say(Partial(self.segment, self._s(self._begin), self._s(self._end), *text))
        if self._open and (len(self._open) == LONGEST or self._ms(self.decoded - self._end) == ENDPOINT):
            self._finish()

    def _finish(self) -> None:
        begin, end = self._s(self._begin), self._s(self._end)
        self._say(SpeechEnd(self.segment, end))
        text = words(self._open)
        timed = tuple(Word(w, begin, end) for w in text.split()) if self.words else None
        final = Final(self.segment, begin, end, text, "en", timed)
        self._say(final)
        self.finals.append(final)
        self.segment, self._open = self.segment + 1, []

    def _settle(self) -> None:
        """Answer the marks that all complete milliseconds before are decoded of."""
        while self.marks and self.decoded + self.cell > self.marks[0][0]:
            _, stop = self.marks.pop(0)
            if self._open:
                self._finish()
            if stop:
                self._finish_stream()
            else:
                self._say(Finalized())

    def _finish_stream(self) -> None:
        self.done = True
        self._say(Done(self._s(self.received), self.segment))

    def _say(self, message: ServerMessage) -> None:
        self.messages.append(render(message))

    def _ms(self, size: int) -> int:
        return size // self.cell

    def _s(self, position: int) -> float:
        return self._ms(position) / 1000


class ScriptedServer:
    """Its sessions; one that is deleted from `sessions` is lost, as if its actor had died."""

    def __init__(self, room_s: float = ROOM_S) -> None:
        self.sessions: dict[str, ScriptedSession] = {}
        self.starts: list[Start] = []
        self._room_s = room_s
        self._numbers = count()

    def open(self, start: Start) -> ScriptedSession:
        """The session that `start` asks for again, or a new one, with `ready` as its first message."""
        self.starts.append(start)
        old = self.sessions.get(start.session or "")
        if old and old.token == start.resume_token:
            old.resume(start.have_segment, resumed=True)
            return old
        number, base = next(self._numbers), start.from_byte
        room = int(self._room_s * (start.bytes_per_second or 0))
        new = ScriptedSession(
            id=f"0.{number:032x}",
            token=f"token-{number}",
            cell=(start.bytes_per_second or 0) // 1000,
            base=base,
            decoded=base,
            segment=start.have_segment + 1,
            room=room,
            words=start.words,
        )
        new.resume(start.have_segment, resumed=False)
        self.sessions[new.id] = new
        return new


@dataclass
class ScriptedService:
    """A `ScriptedServer` on a port of this machine, which decodes and acknowledges every `tick_s`.

    `drop_after`: each number drops the connection as abruptly as a killed process, once its session has
    received so many bytes; each is used once. `forget`: such a drop loses the session too. `refuse`: what
    the next connections are closed with. `cut`: so many connections end as abruptly as they have begun.
    `silent`: connections get no messages any more. `hold_s`: after which each connection is dropped.
    """

    server: ScriptedServer = field(default_factory=ScriptedServer)
    tick_s: float = 0.01
    speed: int = 400  # milliseconds of audio decoded in a tick
    drop_after: list[int] = field(default_factory=list)
    forget: bool = False
    refuse: list[tuple[Close, Error]] = field(default_factory=list)
    cut: int = 0
    silent: bool = False
    hold_s: float = math.inf
    url: str = ""
    connections: int = 0

    async def attend(self, socket: ServerConnection) -> None:
        """One connection from `start` to its end."""
        self.connections += 1
        try:
            start = parse_client(str(await socket.recv()))
            assert isinstance(start, Start)
            if self.cut:
                self.cut -= 1
                socket.transport.abort()
                return
            if self.refuse:
                code, error = self.refuse.pop(0)
                await socket.send(render(error))
                await socket.close(code)
                return
            session = self.server.open(start)
            sender = asyncio.create_task(self._send_messages(socket, session))
            try:
                async for message in socket:
                    self._receive(session, message)
                    if self._drop(socket, session):
                        return
            finally:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
        except ConnectionClosed:
            return

    async def _send_messages(self, socket: ServerConnection, session: ScriptedSession) -> None:
        until_s = time.monotonic() + self.hold_s
        while True:
            if time.monotonic() > until_s:
                socket.transport.abort()
                return
            while session.messages and not self.silent:
                await socket.send(session.messages.pop(0))
            if session.done and not self.silent:
                await socket.close(Close.NORMAL)
                return
            await asyncio.sleep(self.tick_s)
            session.advance(self.speed)
            session.acknowledge()

    def _receive(self, session: ScriptedSession, message: str | bytes) -> None:
        if isinstance(message, bytes):
            session.receive(message)
        else:
            session.mark(stop=isinstance(parse_client(message), Stop))

    def _drop(self, socket: ServerConnection, session: ScriptedSession) -> bool:
        if not self.drop_after or session.received < self.drop_after[0]:
            return False
        self.drop_after.pop(0)
        if self.forget:
            del self.server.sessions[session.id]
        socket.transport.abort()
        return True


@asynccontextmanager
async def serving(service: ScriptedService, port: int = 0) -> AsyncIterator[ScriptedService]:
    """While it lasts, `service` listens at `service.url`."""
    async with serve(service.attend, "127.0.0.1", port, compression=None) as listener:
        service.url = f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        yield service
