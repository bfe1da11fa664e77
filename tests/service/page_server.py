"""A small service for tests of the page: it speaks the wire faithfully and hears what its script says.

Utterance `k` is said from second `3 k + 0.5` to second `3 k + 2.3` of any audio. What a service cannot be
asked to do, this one does on command: lose a connection, forget a session, refuse, want a key, be slow.
"""

import asyncio
import json
import mimetypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from voxray import wire
from voxray.serving.gateway.page import HEADERS
from voxray.transcript import Word

PAGE = files("voxray") / "assets" / "page"
TEXTS = (
    "Good morning, and welcome to the reading room.",
    "The lamp on the left stays on until seven.",
    "Please <ask> at the desk & take a seat.",
    "What you say appears here, word by word.",
)
PERIOD_S, ONSET_S, SPOKEN_S = 3.0, 0.5, 1.8
STABLE_LAG = 2  # of a partial's words, how many may still change
CREDIT_S = 4.0
TICK_S = 0.02


def utterance(clip: int) -> tuple[str, float, tuple[Word, ...]]:
    """The text of the utterance in period `clip`, where it starts, and its words."""
    text, start_s = TEXTS[clip % len(TEXTS)], clip * PERIOD_S + ONSET_S
    parts = text.split()
    step = SPOKEN_S / len(parts)
    times = [round(start_s + i * step, 3) for i in range(len(parts) + 1)]
    return text, start_s, tuple(Word(p, times[i], times[i + 1], 0.9) for i, p in enumerate(parts))


def final(segment: int, clip: int) -> wire.Final:
    """What segment `segment` is when it is over."""
    text, start_s, words = utterance(clip)
    return wire.Final(segment, start_s, round(start_s + SPOKEN_S, 3), text, "en", words)


@dataclass
class Session:
    """What one client sent and was told. `first_byte`: where it goes on with one that was lost."""

    number: int
    start: wire.Start
    audio: bytearray = field(default_factory=bytearray)
    first_byte: int = 0
    processed_s: float = 0.0
    finals: list[wire.Final] = field(default_factory=list)
    open_clip: int | None = None
    shown: int = 0

    @property
    def rate(self) -> int:
        return self.start.bytes_per_second or 1

    @property
    def received(self) -> int:
        return self.first_byte + len(self.audio)

    @property
    def next_segment(self) -> int:
        return self.start.have_segment + 1 + len(self.finals)

    def process(self, until_s: float, *, flush: bool = False) -> Iterator[wire.ServerMessage]:
        """What is told once the audio is processed up to `until_s`."""
        self.processed_s = until_s
        while True:
            if self.open_clip is None:
                clip = self._next_clip()
                if clip * PERIOD_S + ONSET_S >= until_s:
                    return
                self.open_clip, self.shown = clip, 0
                yield wire.SpeechStart(self.next_segment, clip * PERIOD_S + ONSET_S)
            over = until_s >= self.open_clip * PERIOD_S + ONSET_S + SPOKEN_S + 0.3
            if not (over or flush):
                yield from self._partial(self.open_clip, until_s)
                return
            yield self._final(self.open_clip)

    def ack(self, credit_s: float) -> wire.Ack:
        room = int((self.processed_s + credit_s) * self.rate) - self.received
        kept = max(self.first_byte, self._decoded_byte())
        lag_s = self.received / self.rate - self.processed_s
        return wire.Ack(self.received, kept, max(0, room & ~1), self.processed_s, lag_s)

    def _next_clip(self) -> int:
        """The first utterance that began after the last final, or after the first byte."""
        done_s = self.finals[-1].end_s if self.finals else self.first_byte / self.rate
        return max(0, int(-(-(done_s - ONSET_S) // PERIOD_S)))

    def _decoded_byte(self) -> int:
        return int(self.finals[-1].end_s * self.rate) & ~1 if self.finals else 0

    def _partial(self, clip: int, until_s: float) -> Iterator[wire.ServerMessage]:
        text, start_s, words = utterance(clip)
        decoded = sum(w.end_s <= until_s for w in words)
        if decoded > self.shown:
            self.shown = decoded
            shown = " ".join(text.split()[:decoded])
            stable = " ".join(text.split()[: max(0, decoded - STABLE_LAG)])
            yield wire.Partial(self.next_segment, start_s, until_s, stable, shown[len(stable) :])

    def _final(self, clip: int) -> wire.Final:
        finished = final(self.next_segment, clip)
        self.finals.append(finished)
        self.open_clip = None
        return finished


@dataclass
class PageServer:
    """The server, and what a test may tell it at any time. `speed`: audio seconds processed in a second."""

    url: str = ""
    speed: float = 1_000.0
    key: str | None = None
    refusals: int = 0  # how many connections will be refused
    sessions: list[Session] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    _open: dict[int, ServerConnection] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _closed: asyncio.Event = field(init=False)

    def drop(self) -> None:
        """Loses all connections without a word."""
        self._soon(self._abort)

    def forget(self) -> None:
        """Loses all connections, and their sessions with them."""
        self._soon(self._abort)
        self._soon(self._open.clear)

    def drain(self) -> None:
        """Sends everybody away, to connect again."""
        self._soon(lambda: [asyncio.ensure_future(self._drain(n)) for n in list(self._open)])

    def end(self, code: int, message: str) -> None:
        """Ends all connections with an error."""
        self._soon(lambda: [asyncio.ensure_future(_end(ws, code, message)) for ws in self._open.values()])

    def _soon(self, call: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(call)

    def _abort(self) -> None:
        for ws in self._open.values():
            ws.transport.abort()

    async def _drain(self, number: int) -> None:
        ws = self._open[number]
        await ws.send(wire.render(wire.Reconnect(f"token-{number}")))
        await ws.close(wire.Close.RESTART)

    async def _connected(self, ws: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            if self.key is not None and _key(ws) != self.key:
                return await _end(ws, wire.Close.NOT_ALLOWED, "Expected a key of this service, got another.")
            text = await ws.recv(decode=True)
            self.starts.append(json.loads(text))
            start = wire.parse_client(text)
            assert isinstance(start, wire.Start)
            await self._serve(ws, start)

    async def _serve(self, ws: ServerConnection, start: wire.Start) -> None:
        session, resumed = self._session(start)
        self._open[session.number] = ws
        ready = wire.Ready(
            f"0.{session.number}", f"token-{session.number}", resumed, session.received, "scripted"
        )
        again = [f for f in session.finals if resumed and f.segment > start.have_segment]
        messages: list[wire.ServerMessage] = [ready, *again]
        for message in messages:
            await ws.send(wire.render(message))
        ticking = asyncio.ensure_future(self._tick(ws, session))
        try:
            await self._read(ws, session)
        finally:
            ticking.cancel()

    def _session(self, start: wire.Start) -> tuple[Session, bool]:
        number = int(start.session.split(".")[1]) if start.session else -1
        if number in self._open and start.resume_token == f"token-{number}":
            return self.sessions[number], True
        session = Session(len(self.sessions), start, first_byte=start.from_byte)
        session.processed_s = start.from_byte / session.rate
        self.sessions.append(session)
        return session, False

    async def _read(self, ws: ServerConnection, session: Session) -> None:
        finishing: asyncio.Future[None] | None = None
        async for data in ws:
            if finishing:
                self.violations.append(f"{len(data)} bytes or characters after stop")
            elif isinstance(data, bytes):
                session.audio += data
                if session.received / session.rate > session.processed_s + CREDIT_S + 2.1:
                    self.violations.append(f"{session.received} bytes at {session.processed_s} s: no credit")
            elif isinstance(wire.parse_client(data), wire.Stop):
                finishing = asyncio.ensure_future(self._finish(ws, session))
        if finishing:
            await finishing

    async def _tick(self, ws: ServerConnection, session: Session) -> None:
        with suppress(ConnectionClosed):
            while True:
                decoded = min(session.received / session.rate, session.processed_s + self.speed * TICK_S)
                for message in session.process(decoded):
                    await ws.send(wire.render(message))
                await ws.send(wire.render(session.ack(CREDIT_S)))
                await asyncio.sleep(TICK_S)

    async def _finish(self, ws: ServerConnection, session: Session) -> None:
        while session.processed_s < session.received / session.rate:
            await asyncio.sleep(TICK_S)
        for message in session.process(session.processed_s, flush=True):
            await ws.send(wire.render(message))
        await ws.send(wire.render(wire.Done(session.received / session.rate, session.next_segment)))
        await ws.close(wire.Close.NORMAL)

    def _request(self, ws: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        if request.path == wire.PATH:
            self.refusals -= 1
            return ws.respond(HTTPStatus.SERVICE_UNAVAILABLE, "busy") if self.refusals >= 0 else None
        name = "index.html" if request.path == "/" else request.path.removeprefix("/assets/")
        if "/" in name or not (PAGE / name).is_file():
            return ws.respond(HTTPStatus.NOT_FOUND, "no such file")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        headers = Headers({"Content-Type": kind, "Connection": "close", **HEADERS})
        body = (PAGE / name).read_bytes()
        headers["Content-Length"] = str(len(body))
        return Response(HTTPStatus.OK, "OK", headers, body)

    async def run(self, listening: threading.Event) -> None:
        """Serves on a free port of the loopback until `close`."""
        self._loop, self._closed = asyncio.get_running_loop(), asyncio.Event()
        async with serve(
            self._connected,
            "127.0.0.1",
            0,
            process_request=self._request,
            subprotocols=[Subprotocol(wire.SUBPROTOCOL)],
            max_size=wire.MAX_FRAME_BYTES,
        ) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            listening.set()
            await self._closed.wait()

    def close(self) -> None:
        """Ends `run`."""
        self._soon(self._closed.set)


async def _end(ws: ServerConnection, code: int, message: str) -> None:
    await ws.send(wire.render(wire.Error("refused", message)))
    await ws.close(code)


def _key(ws: ServerConnection) -> str | None:
    """The key that the client offered, still in base64url."""
    offered = ws.request.headers.get("Sec-WebSocket-Protocol", "") if ws.request else ""
    keys = [p.strip() for p in offered.split(",") if p.strip().startswith(wire.KEY_SUBPROTOCOL)]
    return keys[0].removeprefix(wire.KEY_SUBPROTOCOL) if keys else None


@contextmanager
def running() -> Iterator[PageServer]:
    """A server in a thread of its own."""
    page_server, listening = PageServer(), threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(page_server.run(listening),), daemon=True)
    thread.start()
    assert listening.wait(10)
    try:
        yield page_server
    finally:
        page_server.close()
        thread.join(10)
