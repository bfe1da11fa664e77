"""Asks the hosts for their loads, places sessions, starts hosts, and keeps a spare one.

Without Ray: hosts are `Member`s of a `Fleet`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from voxray.errors import ServiceError
from voxray.serving.placement.table import Load, Table
from voxray.serving.protocol import HostGone

WATCH_S = 1.0
ANSWER_S = 10.0  # a host that does not answer in this time gets no more sessions until it does
START_S = 60.0  # for a new actor's process to start on a busy machine
WANTED_S = 120.0  # after a gateway's last call, no spare host is kept

log = logging.getLogger(__name__)


class Member(Protocol):
    """A host, as its directory sees it."""

    async def load(self, keep: bool) -> Load:
        """Return the load; with `keep`, the host must not end. Raises HostGone once it has died."""
        ...


M = TypeVar("M", bound=Member)


class Fleet(Protocol[M]):
    """Finds and starts hosts."""

    async def found(self) -> dict[int, M]:
        """Return the hosts that exist, by number."""
        ...

    def start(self, number: int, node: str | None) -> M:
        """Start a host, on `node` if it is still there."""
        ...


class Registry(Generic[M]):
    """The table, and its hosts. `on_idle` is called after `WANTED_S` without a call of a gateway.

    Numbers of hosts are never used again, because a gateway may still know the old host. Hosts are started on
    the node of the gateway that called last: a node without gateways, such as a head, gets none.
    """

    def __init__(self, fleet: Fleet[M], table: Table, on_idle: Callable[[], None]) -> None:
        self._fleet, self._table, self._on_idle = fleet, table, on_idle
        self._members: dict[int, M] = {}
        self._booting: set[int] = set()
        self._starting = asyncio.Lock()
        self._last = int(time.time())
        self._wanted_s = time.monotonic()
        self._node: str | None = None
        self._recovering: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    async def place(self, gateway: str, node: str, without: Iterable[int] = ()) -> tuple[int, M] | None:
        """Return a host for a new session of `gateway` on `node`; return None if the service is full.

        `without`: the numbers of hosts that were tried. Raises ServiceError if a new host does not start.
        """
        await self.want(node)
        tried = frozenset(without)
        for _ in range(2):
            number = self._table.place(gateway, node, time.monotonic(), tried)
            if number is not None:
                return number, self._members[number]
            if self._table.full:
                return None
            await self._start_one(lambda: self._table.has_room(tried))
        raise ServiceError("expected a host for one more session, got none that starts; try again.")

    async def find(self, number: int) -> M | None:
        """Return the host with this number; None if it has died."""
        await self.want()
        return self._members.get(number)

    async def want(self, node: str | None = None) -> None:
        """Note that a gateway is running, on `node`: keep a spare host for its next client."""
        self._wanted_s, self._node = time.monotonic(), node or self._node
        if self._recovering is None or (self._recovering.done() and self._recovering.exception()):
            self._recovering = asyncio.create_task(self._recover())
        await asyncio.shield(self._recovering)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    async def _recover(self) -> None:
        """Find the hosts that exist already."""
        self._members.update(await self._fleet.found())
        self._last = max(self._last, *self._members, 0)
        await self._ask_all(keep=True)

    async def _watch(self) -> None:
        while time.monotonic() - self._wanted_s < WANTED_S or self._table.sessions:
            try:
                await self._check(time.monotonic() - self._wanted_s < WANTED_S)
            except Exception:  # any: sessions must be placed, and the next round may succeed
                log.exception("a round over the hosts failed")
            await asyncio.sleep(WATCH_S)
        self._on_idle()

    async def _check(self, wanted: bool) -> None:
        await self._ask_all(keep=wanted)
        if wanted and not self._table.spare:
            await self._start_one(lambda: self._table.spare)

    async def _ask_all(self, keep: bool) -> None:
        """Ask all hosts for their loads; of the empty hosts, `keep` goes to the first, and others may end."""
        empty = [n for n, load in sorted(self._table.hosts.items()) if not load.sessions]
        asked = [(n, m) for n, m in self._members.items() if n not in self._booting]
        await asyncio.gather(*(self._ask(n, m, keep and (not empty or n == empty[0])) for n, m in asked))

    async def _ask(self, number: int, member: M, keep: bool, limit_s: float = ANSWER_S) -> None:
        """Ask for a load. A slow host keeps its sessions and gets no new ones; one that died is removed."""
        try:
            async with asyncio.timeout(limit_s):
                load = await member.load(keep)
        except HostGone:
            self._table.lose(number)
            self._members.pop(number, None)
        except TimeoutError:
            self._table.lose(number)
        else:
            if number in self._members:
                self._table.report(load, time.monotonic())

    async def _start_one(self, enough: Callable[[], bool]) -> None:
        """Start a host, unless another call has started one meanwhile."""
        async with self._starting:
            if enough():
                return
            self._last = max(self._last + 1, int(time.time()))
            number, member = self._last, self._fleet.start(self._last, self._node)
            self._members[number] = member
            self._booting.add(number)
            try:
                await self._ask(number, member, keep=True, limit_s=START_S)
            finally:
                self._booting.discard(number)
