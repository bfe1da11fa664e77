"""The load: processes of many clients each, which send in real time and write down what comes, and when.

A client obeys nothing but the clock: it neither waits for credit nor reads what it is sent while it plays;
that is scored afterwards. How late frames went out is written down too, since a load that falls behind
measures itself.

    parent --Plan--> process: connects --"ready"--> parent
           --begin_s--> process: plays --[ClientRecord]--> parent
"""

import asyncio
import contextlib
import multiprocessing as mp
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from tests.benchmarks.client_scores import Arrival
from tests.benchmarks.playing import Part, frames
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from voxray.errors import ServiceError
from voxray.wire import Done, Error, Ready, Start, parse_server

OPEN_S = 60.0  # for one connection to open and be ready
CONNECTING = 16  # connections that open at a time
LEAD_S = 0.5  # between the word to begin and the beginning

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the clients of one process do. `tail_s`: how long `done` is waited for after `stop`.

    Frames leave every `frame_ms` times `slowness`: above 1 the audio comes slower than it was spoken.
    """

    url: str
    parts: tuple[Part, ...]
    start: Start
    frame_ms: int = 100
    tail_s: float = 15.0
    slowness: float = 1.0


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """What one client was sent, in seconds after its stream began, and how late it sent each frame.

    `open_s`: from the start of its connection to `ready`.
    """

    messages: tuple[tuple[float, str], ...] = field(repr=False)
    late_s: tuple[float, ...] = field(repr=False)
    error: str | None = None
    open_s: float = 0.0

    def arrivals(self) -> tuple[Arrival, ...]:
        """The messages of types that are known here, as values."""
        read = ((at_s, parse_server(text)) for at_s, text in self.messages)
        return tuple(Arrival(at_s, message) for at_s, message in read if message is not None)


def carry_out(
    plans: Sequence[Plan], measure_load: Callable[[float, list[int]], T]
) -> tuple[list[ClientRecord], T]:
    """Play `plans`, a process for each; return the clients' records and what `measure_load` returns.

    `measure_load` is called with the time (of time.monotonic) at which the first client begins and the
    processes' ids, while they play. Raises ServiceError where a process ends before its time.
    """
    spawn = mp.get_context("spawn")
    pipes = [spawn.Pipe() for _ in plans]
    processes = [
        spawn.Process(target=play, args=(plan, theirs), daemon=True)
        for plan, (_, theirs) in zip(plans, pipes, strict=True)
    ]
    try:
        for process, (_, theirs) in zip(processes, pipes, strict=True):
            process.start()
            theirs.close()
        ours = [mine for mine, _ in pipes]
        for pipe in ours:
            _received(pipe)
        begin_s = time.monotonic() + LEAD_S
        for pipe in ours:
            pipe.send(begin_s)
        measured = measure_load(begin_s, [p.pid for p in processes if p.pid])
        records: list[list[ClientRecord]] = [_received(pipe) for pipe in ours]
        return [record for clients in records for record in clients], measured
    finally:
        for process in processes:
            if process.is_alive():
                process.join(5.0)
                process.kill()


def _received(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError as e:
        raise ServiceError("expected the load to play to its end, but one of its processes died.") from e


def play(plan: Plan, pipe: Connection) -> None:
    """Be one process of the load."""
    asyncio.run(_play(plan, pipe))


async def _play(plan: Plan, pipe: Connection) -> None:
    opening = asyncio.Semaphore(CONNECTING)
    clients = [Client(plan, part) for part in plan.parts]
    await asyncio.gather(*(client.open(opening) for client in clients))
    pipe.send("ready")
    begin_s: float = await asyncio.to_thread(pipe.recv)
    await asyncio.gather(*(client.play(begin_s) for client in clients))
    pipe.send([client.record() for client in clients])


class Client:
    """One connection: opened, played over, closed. What goes wrong is kept, not raised."""

    def __init__(self, plan: Plan, part: Part) -> None:
        self._plan = plan
        self._delay_s = part.delay_s
        self._frames = frames(part.played().pcm, plan.frame_ms)
        self._socket: ClientConnection | None = None
        self._messages: list[tuple[float, str]] = []
        self._late_s: list[float] = []
        self._error: str | None = None
        self._open_s = 0.0

    def record(self) -> ClientRecord:
        """Return what came; call it after `play`."""
        return ClientRecord(tuple(self._messages), tuple(self._late_s), self._error, self._open_s)

    async def open(self, opening: asyncio.Semaphore) -> None:
        """Connect, say what comes, and wait until the server is ready."""
        try:
            async with opening, asyncio.timeout(OPEN_S):
                begun_s = time.monotonic()
                # No pings: a server that is busy shall be slow, not gone. Without a bound on the queue, as
                # nobody reads it before the load begins, and a full one answers no pings of the server.
                self._socket = await connect(
                    self._plan.url,
                    compression=None,
                    max_size=None,
                    max_queue=None,
                    ping_interval=None,
                    open_timeout=None,
                    proxy=None,
                )
                await self._socket.send(self._plan.start.model_dump_json(exclude_none=True))
                answer = parse_server(str(await self._socket.recv()))
                self._open_s = time.monotonic() - begun_s
                if not isinstance(answer, Ready):
                    self._error = f"open: expected ready, got {answer}"
        except (OSError, TimeoutError, WebSocketException) as e:
            self._error = f"open: {e!r}"

    async def play(self, begin_s: float) -> None:
        """Send every frame when its last sample is spoken, then stop and wait for `done`."""
        if self._socket is None or self._error:
            return
        start_s = begin_s + self._delay_s
        reading = asyncio.create_task(self._read(self._socket, start_s))
        try:
            with contextlib.suppress(ConnectionClosed):  # the reader knows why
                await self._send(self._socket, start_s)
            async with asyncio.timeout(self._plan.tail_s):
                self._error = await reading
        except TimeoutError:
            self._error = f"no done within {self._plan.tail_s:g} s of stop"
        finally:
            reading.cancel()
            await self._socket.close()

    async def _send(self, socket: ClientConnection, start_s: float) -> None:
        frame_s = self._plan.frame_ms / 1000 * self._plan.slowness
        for number, frame in enumerate(self._frames, start=1):
            due_s = start_s + number * frame_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            self._late_s.append(time.monotonic() - due_s)
            await socket.send(frame)
        await socket.send('{"type":"stop"}')

    async def _read(self, socket: ClientConnection, start_s: float) -> str | None:
        """Write down what comes until the server closes; what went wrong."""
        closed = "closed"
        try:
            async for text in socket:
                self._messages.append((time.monotonic() - start_s, str(text)))
        except ConnectionClosed as e:
            closed = f"closed: {e}"
        last = parse_server(self._messages[-1][1]) if self._messages else None
        if isinstance(last, Error):
            return f"{last.code}: {last.message}"
        return None if isinstance(last, Done) else f"{closed}, without done"
