"""What a directory does: asks the hosts for their loads, places sessions, starts hosts, keeps one ready.

asyncio, and no Ray: hosts are `Member`s of a `Fleet`.
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
ANSWER_S = 10.0  # a host that does not tell its load for so long gets no more sessions until it does
START_S = 60.0  # a new actor's process, on a busy machine
WANTED_S = 120.0  # after a gateway's last call, no spare host is kept

log = logging.getLogger(__name__)


class Member(Protocol):
    """A host as its directory sees it."""

    async def load(self, keep: bool) -> Load:
        """What sessions are placed by; `keep`: it is to stay. HostGone where it has died."""
        ...


M = TypeVar("M", bound=Member)


class Fleet(Protocol[M]):
    """Where hosts are found and started."""

    async def found(self) -> dict[int, M]:
        """Those that are there, by their numbers."""
        ...

    def start(self, number: int) -> M:
        """A new one."""
        ...


class Registry(Generic[M]):
    """The table, and the hosts behind it. `over` is called when nobody has wanted it for `WANTED_S`.

    Numbers never recur, for a gateway may still know the host that had one.
    """

    def __init__(self, fleet: Fleet[M], table: Table, over: Callable[[], None]) -> None:
        self._fleet, self._table, self._over = fleet, table, over
        self._members: dict[int, M] = {}
        self._booting: set[int] = set()
        self._starting = asyncio.Lock()
        self._last = int(time.time())
        self._wanted_s = time.monotonic()
        self._recovering: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    async def place(self, gateway: str, node: str, without: Iterable[int] = ()) -> tuple[int, M] | None:
        """A host for a new session of `gateway` on `node`, none of `without`; None where the service is full.

        ServiceError where one more is needed and does not start.
        """
        await self.want()
        tried = frozenset(without)
        for _ in range(2):
            number = self._table.place(gateway, node, time.monotonic(), tried)
            if number is not None:
                return number, self._members[number]
            if self._table.full:
                return None
            await self._start_one(lambda: self._table.has_room(tried))
        raise ServiceError("expected a host for one more session, and none could be started; try again.")

    async def find(self, number: int) -> M | None:
        """The host with this number, if it lives."""
        await self.want()
        return self._members.get(number)

    async def want(self) -> None:
        """A gateway lives: keep a host ready for its next client."""
        self._wanted_s = time.monotonic()
        if self._recovering is None or (self._recovering.done() and self._recovering.exception()):
            self._recovering = asyncio.create_task(self._recover())
        await asyncio.shield(self._recovering)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    async def _recover(self) -> None:
        """Know the hosts that are there already."""
        self._members.update(await self._fleet.found())
        self._last = max(self._last, *self._members, 0)
        await self._ask_all(keep=True)

    async def _watch(self) -> None:
        while time.monotonic() - self._wanted_s < WANTED_S or self._table.sessions:
            try:
                await self._look(time.monotonic() - self._wanted_s < WANTED_S)
            except Exception:  # whatever it is, sessions are to be placed, and the next look may be better
                log.exception("the hosts could not be looked after")
            await asyncio.sleep(WATCH_S)
        self._over()

    async def _look(self, wanted: bool) -> None:
        await self._ask_all(keep=wanted)
        if wanted and not self._table.spare:
            await self._start_one(lambda: self._table.spare)

    async def _ask_all(self, keep: bool) -> None:
        """`keep` goes to one empty host, the first; others without sessions may end."""
        empty = [n for n, load in sorted(self._table.hosts.items()) if not load.sessions]
        asked = [(n, m) for n, m in self._members.items() if n not in self._booting]
        await asyncio.gather(*(self._ask(n, m, keep and (not empty or n == empty[0])) for n, m in asked))

    async def _ask(self, number: int, member: M, keep: bool, limit_s: float = ANSWER_S) -> None:
        """A host that is only slow keeps its sessions, and gets no new ones; one that died is forgotten."""
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
        """One host more, unless somebody else has started one meanwhile."""
        async with self._starting:
            if enough():
                return
            self._last = max(self._last + 1, int(time.time()))
            number, member = self._last, self._fleet.start(self._last)
            self._members[number] = member
            self._booting.add(number)
            try:
                await self._ask(number, member, keep=True, limit_s=START_S)
            finally:
                self._booting.discard(number)
