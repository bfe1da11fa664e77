"""A gateway's calls to its hosts: one a tick for all of its connections on a host.

    Connection --open--> HostClients --Opening--> host     the host's client takes the connection in
    Connections --next_input--> HostClient --Call--> host
    Connections <--receive_output-- HostClient <--Reply-- host

A call costs a host 1.5 to 2 ms however little it carries, hence one for all connections. The next call never
begins before the one before it has returned; under load they become rarer (`TickSchedule`). A call that fails
is repeated once with its number, for which a host has the same reply; then the host counts as dead.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Coroutine, Iterator
from dataclasses import dataclass
from itertools import count
from time import monotonic
from typing import Any, Protocol, TypeVar

from voxray.errors import ServiceError
from voxray.serving.gateway.metrics import Metrics
from voxray.serving.protocol import (
    Call,
    Control,
    Directory,
    Host,
    HostGone,
    Input,
    Opened,
    Opening,
    Output,
    Refused,
    Reply,
)
from voxray.wire import Close, Start

log = logging.getLogger(__name__)

T = TypeVar("T")
PLACEMENTS = 3  # hosts that are tried for a new session
NO_HOST = "expected a host for the session, got no answer from any; try again later."
UNAVAILABLE = Refused(Close.FULL, "unavailable", NO_HOST)
SessionEpoch = tuple[str, int]


@dataclass(frozen=True, slots=True)
class TickSchedule:
    """Seconds between the starts of calls, and the time limits of a call and of a placement."""

    tick_s: float = 0.05
    timeout_s: float = 10.0
    placement_timeout_s: float = 60.0  # an actor may have to start

    def pause_s(self, call_s: float) -> float:
        """Return how long to wait after a call of `call_s`: a host is called at most half of the time."""
        return max(self.tick_s, 2 * call_s) - call_s


class SessionOwner(Protocol):
    """What a connection's session belongs to until the connection leaves it."""

    def leave(self, session: str, epoch: int) -> None:
        """Remove a closed connection, and report it to the host with the next call."""
        ...


class Peer(Protocol):
    """A connection as its host's client sees it. No method waits or raises."""

    @property
    def closed(self) -> bool:
        """Whether the client has disconnected."""
        ...

    def session_opened(self, opened: Opened, host: SessionOwner) -> None:
        """The connection has a session, and belongs to `host` until it calls `host.leave`."""
        ...

    def session_refused(self, refused: Refused) -> None:
        """The connection gets no session."""
        ...

    def next_input(self) -> tuple[bytes | Control, ...]:
        """Remove and return what goes to the host with the next call."""
        ...

    def receive_output(self, output: Output) -> None:
        """The host sent `output`. After one with `close` the connection does not belong to the host."""
        ...

    def restart(self) -> None:
        """The host is lost, and the client has to reconnect."""
        ...


class HostClient:
    """One gateway's calls to one host. They go on for as long as it has connections."""

    def __init__(
        self, gateway: str, host: Host, numbers: Iterator[int], schedule: TickSchedule, metrics: Metrics
    ) -> None:
        self.dead = False
        self._gateway, self._host, self._numbers = gateway, host, numbers
        self._schedule, self._metrics = schedule, metrics
        self._peers: dict[SessionEpoch, Peer] = {}
        self._left: dict[SessionEpoch, None] = {}  # an ordered set: closed, and not yet reported to the host
        self._opening = 0
        self._early: dict[SessionEpoch, list[Output]] = {}  # a reply may overtake the answer to `open`
        self._task: asyncio.Task[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether it has no connections and none is being opened, so that another may replace it."""
        return not self._opening and (self._task is None or self._task.done())

    async def open(self, opening: Opening, peer: Peer) -> Refused | None:
        """Open a session for `peer` and take it in; return why not, or None. HostGone if the host is dead."""
        self._opening += 1
        try:
            answer = await _within(self._schedule.timeout_s, self._host.open(opening))
            if self.dead:
                raise HostGone("the host stopped answering while a session was opened.")
            if isinstance(answer, Refused):
                return answer
            self._add(answer, peer)
            return None
        finally:
            self._opening -= 1
            if not self._opening:
                self._left.update(dict.fromkeys(self._early))
                self._early.clear()

    def leave(self, session: str, epoch: int) -> None:
        """As `SessionOwner.leave`."""
        if self._peers.pop((session, epoch), None):
            self._left[session, epoch] = None

    async def wait_until_idle(self) -> None:
        """Wait until no connection is left and the host knows."""
        if self._task:
            await asyncio.wait({self._task})

    def _add(self, opened: Opened, peer: Peer) -> None:
        key = (opened.session, opened.epoch)
        self._peers[key] = peer
        peer.session_opened(opened, self)
        for output in self._early.pop(key, ()):
            self._deliver(output)
        if peer.closed:
            self.leave(*key)
        if self._task is None or self._task.done():
            self._task = detached_task(self._run())

    async def _run(self) -> None:
        try:
            while self._peers or self._left:
                began_s = monotonic()
                reply = await self._call(self._next_call())
                call_s = monotonic() - began_s
                self._metrics.call_seconds.inc(call_s)
                for output in reply.outputs:
                    self._deliver(output)
                await asyncio.sleep(self._schedule.pause_s(call_s))
        except HostGone as e:
            self._lose_host(e)
        except Exception as e:  # a defect, which must not leave connections without an end
            log.exception("the calls to a host failed")
            self._lose_host(e)

    def _next_call(self) -> Call:
        inputs = [Input(*key, left=True) for key in self._left]
        self._left.clear()
        for key, peer in list(self._peers.items()):  # a peer whose time is up leaves in `next_input`
            if items := peer.next_input():
                inputs.append(Input(*key, items))
        return Call(self._gateway, next(self._numbers), tuple(inputs))

    async def _call(self, call: Call) -> Reply:
        self._metrics.calls.inc()
        try:
            return await _within(self._schedule.timeout_s, self._host.tick(call))
        except HostGone:
            log.warning("call %d failed and is repeated", call.number)
        self._metrics.calls_repeated.inc()
        return await _within(self._schedule.timeout_s, self._host.tick(call))

    def _deliver(self, output: Output) -> None:
        key = (output.session, output.epoch)
        if peer := self._peers.get(key):
            if output.close is not None:
                del self._peers[key]
            peer.receive_output(output)
        elif self._opening:
            self._early.setdefault(key, []).append(output)
        elif output.close is None:
            self._left[key] = None  # an `open` that timed out here has a session at the host all the same

    def _lose_host(self, reason: Exception) -> None:
        log.warning("a host with %d connections is lost: %s", len(self._peers), reason)
        self.dead = True
        self._metrics.hosts_lost.inc()
        while self._peers:
            self._peers.popitem()[1].restart()


class HostClients:
    """One gateway's host clients by the names of their hosts, for as long as they have connections.

    All draw on one sequence of call numbers: a host that was given up and turns out to be alive must not
    receive old numbers.
    """

    def __init__(self, gateway: str, directory: Directory, schedule: TickSchedule, metrics: Metrics) -> None:
        self._gateway, self._directory = gateway, directory
        self._schedule, self._metrics = schedule, metrics
        self._clients: dict[str, HostClient] = {}
        self._numbers = count(1)
        self._openings: set[asyncio.Task[None]] = set()

    @property
    def hosts(self) -> frozenset[str]:
        """The names of the hosts that have connections now."""
        return frozenset(name for name, client in self._clients.items() if not (client.dead or client.ended))

    def open(self, start: Start, peer: Peer, *, resumable: bool = True, owner: str = "") -> None:
        """Begin to open a session for `peer`, whose `session_opened` or `session_refused` is called later.

        This goes on when the peer closes, so that a session which its host has opened is left again.
        """
        task = detached_task(self._open(Opening(self._gateway, start, resumable, owner), peer))
        self._openings.add(task)
        task.add_done_callback(self._openings.discard)

    async def wait_until_idle(self) -> None:
        """Wait until no connection is left and all hosts know."""
        if self._openings:
            await asyncio.wait(set(self._openings))
        await asyncio.gather(*(client.wait_until_idle() for client in self._clients.values()))

    async def _open(self, opening: Opening, peer: Peer) -> None:
        try:
            refused = await (self._resume if opening.start.session else self._begin)(opening, peer)
        except ServiceError as e:
            refused = Refused(Close.FULL, "full", str(e))
        except HostGone as e:
            log.warning("no host for a session: %s", e)
            refused = UNAVAILABLE
        if refused:
            peer.session_refused(refused)

    async def _resume(self, opening: Opening, peer: Peer) -> Refused | None:
        """Resume on the host that has the session, or begin anew at `start.from_byte` if there is none.

        A host that lost the session and is full is no reason to refuse: others may have room.
        """
        number = int((opening.start.session or "").partition(".")[0])
        found = await _within(self._schedule.timeout_s, self._directory.find(number))
        if not found:
            return await self._begin(opening, peer)
        refused = await self._try_host(*found, opening, peer)
        if refused is None or refused.close is not Close.FULL:
            return refused
        return await self._begin(opening, peer, frozenset({found[0]}))

    async def _begin(
        self, opening: Opening, peer: Peer, without: frozenset[str] = frozenset()
    ) -> Refused | None:
        """Begin a session where the directory says. Its knowledge may be old: a host can be full or dead."""
        refused: Refused | None = UNAVAILABLE
        for _ in range(PLACEMENTS):
            limit_s = self._schedule.placement_timeout_s
            name, host = await _within(limit_s, self._directory.place(self._gateway, without))
            refused = await self._try_host(name, host, opening, peer)
            if refused is None or refused.close is not Close.FULL:
                break
            without |= {name}
        return refused

    async def _try_host(self, name: str, host: Host, opening: Opening, peer: Peer) -> Refused | None:
        """Open a session on `host`; return why not, or None. Its client finds out by itself if it is dead."""
        try:
            return await self._client(name, host).open(opening, peer)
        except HostGone as e:
            log.warning("%s is gone: %s", name, e)
            return UNAVAILABLE

    def _client(self, name: str, host: Host) -> HostClient:
        self._clients = {known: self._clients[known] for known in self.hosts}
        if name not in self._clients:
            shared = (self._numbers, self._schedule, self._metrics)
            self._clients[name] = HostClient(self._gateway, host, *shared)
        return self._clients[name]


def detached_task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start `work` outside the context of a client's request.

    Ray cancels the calls that a cancelled request has made, and a host client's calls serve all connections.
    """
    return asyncio.create_task(work, context=contextvars.Context())


async def _within(limit_s: float, call: Awaitable[T]) -> T:
    """Return what `call` returns; HostGone if it fails, in whatever way, or takes longer than `limit_s`."""
    try:
        async with asyncio.timeout(limit_s):  # not wait_for, which can swallow a cancellation (until 3.12)
            return await call
    except (HostGone, ServiceError):
        raise
    except TimeoutError as e:
        raise HostGone(f"expected an answer within {limit_s:g} s, got none.") from e
    except Exception as e:
        raise HostGone(f"expected an answer, got {type(e).__name__}: {str(e)[:200]}") from e
