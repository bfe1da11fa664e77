"""What a gateway has with its hosts: one call a tick for all of its connections on a host.

    Connection --open--> HostClients --Opening--> host           the link of that host takes the connection in
    Connections --take--> HostClient --Call--> host --Reply--> HostClient --tell--> Connections     every tick

A call costs a host 1.5 to 2 ms whoever it is for, so that there is one, not one per client. A second call
never begins before the first has come back; under load they get rarer (`Pace`). A call that fails is made
once more, with its number, which a host answers with the same reply; then the host counts as dead.
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
from voxray.serving.gateway.metrics import CALL_SECONDS, CALLS, CALLS_REPEATED, HOSTS_LOST, Metrics
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
PLACES = 3  # that are tried for a new session
Key = tuple[str, int]  # session and epoch

UNAVAILABLE = Refused(
    Close.FULL, "unavailable", "expected a host for the session, and none answered; try again later."
)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between the beginnings of calls, for one call, and for a new session to be placed."""

    tick_s: float = 0.05
    timeout_s: float = 10.0
    place_s: float = 60.0  # an actor may have to start

    def pause_s(self, took_s: float) -> float:
        """How long to wait after a call that `took_s`: a host is called at most half of the time."""
        return max(self.tick_s, 2 * took_s) - took_s


class Peer(Protocol):
    """A connection, as its link sees it. None of this waits, or raises."""

    @property
    def closed(self) -> bool:
        """Whether nobody is there any more."""
        ...

    def opened(self, opened: Opened, link: "HostClient") -> None:
        """It has a session, and belongs to `link` until it leaves."""
        ...

    def refused(self, refused: Refused) -> None:
        """It gets no session."""
        ...

    def take(self) -> tuple[bytes | Control, ...]:
        """What goes to its host with the next call."""
        ...

    def tell(self, output: Output) -> None:
        """What came from its host. After one with `close` it belongs to the link no more."""
        ...

    def lost(self) -> None:
        """Its host is gone."""
        ...


class HostClient:
    """One gateway's calls to one host. They run as long as it has connections."""

    def __init__(self, gateway: str, host: Host, numbers: Iterator[int], pace: Pace, watch: Metrics) -> None:
        self.dead = False
        self._gateway, self._host, self._numbers = gateway, host, numbers
        self._pace, self._watch = pace, watch
        self._peers: dict[Key, Peer] = {}
        self._left: dict[Key, None] = {}  # of whom the host is yet to be told that they are gone
        self._opening = 0
        self._early: dict[Key, list[Output]] = {}  # a reply may overtake the answer to `open`
        self._task: asyncio.Task[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether it has nobody, and nobody is to come: another may take its place."""
        return not self._opening and (self._task is None or self._task.done())

    async def open(self, opening: Opening, peer: Peer) -> Refused | None:
        """Open a session for `peer` and take it in; why not, or None. HostGone where the host is dead."""
        self._opening += 1
        try:
            answer = await _within(self._pace.timeout_s, self._host.open(opening))
            if self.dead:
                raise HostGone("the host stopped answering while a session was opened.")
            if isinstance(answer, Refused):
                return answer
            self._take_in(answer, peer)
            return None
        finally:
            self._opening -= 1
            if not self._opening:
                self._left.update(dict.fromkeys(self._early))
                self._early.clear()

    def leave(self, session: str, epoch: int) -> None:
        """A connection is gone: what it had queued is dropped, and its host told."""
        if self._peers.pop((session, epoch), None):
            self._left[session, epoch] = None

    async def rest(self) -> None:
        """Wait until nobody is left, and the host knows it."""
        if self._task:
            await asyncio.wait({self._task})

    def _take_in(self, opened: Opened, peer: Peer) -> None:
        key = (opened.session, opened.epoch)
        self._peers[key] = peer
        peer.opened(opened, self)
        for output in self._early.pop(key, ()):
            self._tell(output)
        if peer.closed:
            self.leave(*key)
        if self._task is None or self._task.done():
            self._task = started(self._run())

    async def _run(self) -> None:
        try:
            while self._peers or self._left:
                began_s = monotonic()
                reply = await self._ask(self._next_call())
                took_s = monotonic() - began_s
                self._watch.add(CALL_SECONDS, took_s)
                for output in reply.outputs:
                    self._tell(output)
                await asyncio.sleep(self._pace.pause_s(took_s))
        except HostGone as e:
            self._lose(e)
        except Exception as e:  # a defect, which must not leave connections without an end
            log.exception("a link failed")
            self._lose(e)

    def _next_call(self) -> Call:
        inputs = [Input(*key, left=True) for key in self._left]
        self._left.clear()
        for key, peer in list(self._peers.items()):  # a peer that is silent for too long may leave in `take`
            if items := peer.take():
                inputs.append(Input(*key, items))
        return Call(self._gateway, next(self._numbers), tuple(inputs))

    async def _ask(self, call: Call) -> Reply:
        self._watch.add(CALLS)
        try:
            return await _within(self._pace.timeout_s, self._host.tick(call))
        except HostGone:
            log.warning("call %d failed, and is made again", call.number)
        self._watch.add(CALLS_REPEATED)
        return await _within(self._pace.timeout_s, self._host.tick(call))

    def _tell(self, output: Output) -> None:
        key = (output.session, output.epoch)
        if peer := self._peers.get(key):
            if output.close is not None:
                del self._peers[key]
            peer.tell(output)
        elif self._opening:
            self._early.setdefault(key, []).append(output)
        elif output.close is None:
            self._left[key] = None  # an `open` that was given up has a session at the host all the same

    def _lose(self, reason: Exception) -> None:
        log.warning("a host with %d connections is lost: %s", len(self._peers), reason)
        self.dead = True
        self._watch.add(HOSTS_LOST)
        for peer in [self._peers.pop(key) for key in list(self._peers)]:
            peer.lost()


class HostClients:
    """One gateway's links, by the names of their hosts, as long as those have connections.

    All count their calls together: a host that was given up and is found alive must not hear old numbers.
    """

    def __init__(self, gateway: str, directory: Directory, pace: Pace, watch: Metrics) -> None:
        self._gateway, self._directory, self._pace, self._watch = gateway, directory, pace, watch
        self._links: dict[str, HostClient] = {}
        self._numbers = count(1)
        self._openings: set[asyncio.Task[None]] = set()

    @property
    def hosts(self) -> frozenset[str]:
        """The names of the hosts that it has to do with now."""
        return frozenset(name for name, link in self._links.items() if not (link.dead or link.ended))

    def open(self, start: Start, peer: Peer, *, resumable: bool = True) -> None:
        """Find a session for `peer`; it is told when it has one, or why it gets none.

        This goes on when the peer goes, so that a session which its host has opened is left again.
        """
        task = started(self._open(Opening(self._gateway, start, resumable), peer))
        self._openings.add(task)
        task.add_done_callback(self._openings.discard)

    async def rest(self) -> None:
        """Wait until all connections are gone, and their hosts know it."""
        if self._openings:
            await asyncio.wait(set(self._openings))
        await asyncio.gather(*(link.rest() for link in self._links.values()))

    async def _open(self, opening: Opening, peer: Peer) -> None:
        try:
            find = self._resume if opening.start.session else self._begin
            refused = await find(opening, peer)
        except ServiceError as e:
            refused = Refused(Close.FULL, "full", str(e))
        except HostGone as e:
            log.warning("no host for a session: %s", e)
            refused = UNAVAILABLE
        if refused:
            peer.refused(refused)

    async def _resume(self, opening: Opening, peer: Peer) -> Refused | None:
        """On the host that has the session; anew at `start.from_byte` where that is gone.

        A host that had it, has it no more, and has no room either is not the only one.
        """
        number = int((opening.start.session or "").partition(".")[0])
        found = await _within(self._pace.timeout_s, self._directory.find(number))
        if not found:
            return await self._begin(opening, peer)
        refused = await self._try(*found, opening, peer)
        if refused is None or refused.close is not Close.FULL:
            return refused
        return await self._begin(opening, peer, frozenset({found[0]}))

    async def _begin(
        self, opening: Opening, peer: Peer, without: frozenset[str] = frozenset()
    ) -> Refused | None:
        """On the host that the directory names; what it knows can be old, and a host full or gone."""
        refused: Refused | None = UNAVAILABLE
        for _ in range(PLACES):
            name, host = await _within(self._pace.place_s, self._directory.place(self._gateway, without))
            refused = await self._try(name, host, opening, peer)
            if refused is None or refused.close is not Close.FULL:
                break
            without |= {name}
        return refused

    async def _try(self, name: str, host: Host, opening: Opening, peer: Peer) -> Refused | None:
        """`UNAVAILABLE` where the host is gone; a link with connections learns that from its calls."""
        try:
            return await self._link(name, host).open(opening, peer)
        except HostGone as e:
            log.warning("%s is gone: %s", name, e)
            return UNAVAILABLE

    def _link(self, name: str, host: Host) -> HostClient:
        self._links = {known: self._links[known] for known in self.hosts}
        if name not in self._links:
            self._links[name] = HostClient(self._gateway, host, self._numbers, self._pace, self._watch)
        return self._links[name]


def started(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """`work` as a task that is nobody's: in the context of a client's request it would end with the client.

    Ray cancels the calls that a cancelled request has made, and a link's are everybody's.
    """
    return asyncio.create_task(work, context=contextvars.Context())


async def _within(limit_s: float, work: Awaitable[T]) -> T:
    """`work`, or HostGone where it fails or takes longer; far calls fail in more ways than can be named."""
    try:
        async with asyncio.timeout(limit_s):  # not wait_for, which can swallow a cancellation (until 3.12)
            return await work
    except (HostGone, ServiceError):
        raise
    except TimeoutError as e:
        raise HostGone(f"expected an answer within {limit_s:g} s, and none came.") from e
    except Exception as e:
        raise HostGone(f"expected an answer, and {type(e).__name__} came: {str(e)[:200]}") from e
