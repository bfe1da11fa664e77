"""The directory: which buffer actor has which session, and which takes a new one.

A small named actor holds the table. It can die: it is started again by whoever misses it, and reads the names
of the buffer actors and their loads.
"""

import asyncio
import time
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util import list_named_actors

from voxray.errors import ServiceError
from voxray.serving.buffers.actors import RayHost, start_actor
from voxray.serving.buffers.placement import Load, Table
from voxray.serving.calls import Host
from voxray.serving.names import NAMESPACE, Service

WATCH_S = 1.0
ANSWER_S = 10.0  # a buffer actor that does not tell its load for so long is left out
START_S = 60.0  # a new actor's process, on a busy machine
WANTED_S = 120.0  # after a gateway's last call, no spare actor is kept

Placed = tuple[int, Any]


class DirectoryActor:
    """The table, and the actors that it starts."""

    def __init__(self, service: Service) -> None:
        self._service = service
        limits = service.args.limits
        self._table = Table(limits.sessions_per_actor, limits.sessions)
        self._actors: dict[int, Any] = {}
        self._starting = asyncio.Lock()
        self._wanted_s = time.monotonic()
        self._watching: asyncio.Task[None] | None = None

    async def place(self, gateway: str, node: str) -> Placed | None:
        """An actor for a new session of `gateway` on `node`; None where the service is full."""
        await self.want()
        async with self._starting:
            number = self._table.place(gateway, node, time.monotonic())
            if number is None and not self._table.full:
                await self._start()
                number = self._table.place(gateway, node, time.monotonic())
        return None if number is None else (number, self._actors[number])

    async def find(self, number: int) -> Placed | None:
        """The actor with this number, if it lives."""
        await self.want()
        return (number, self._actors[number]) if number in self._actors else None

    async def want(self) -> None:
        """A gateway lives: keep an actor ready for its next client."""
        self._wanted_s = time.monotonic()
        if self._watching is None:
            await self._recover()
            self._watching = asyncio.create_task(self._watch())

    async def _recover(self) -> None:
        """Know the actors that are there already."""
        for name in await asyncio.to_thread(actor_names):
            number = self._service.number(name)
            if number is not None and number not in self._actors:
                try:
                    self._actors[number] = ray.get_actor(name, NAMESPACE)
                except ValueError:
                    continue  # it ended meanwhile
        await self._ask_all(keep=True)

    async def _watch(self) -> None:
        """Ask for loads, forget the dead, keep one spare; end when no gateway has called for long."""
        while (idle_s := time.monotonic() - self._wanted_s) < WANTED_S or self._table.sessions:
            wanted = idle_s < WANTED_S
            await self._ask_all(keep=wanted)
            async with self._starting:
                if wanted and not self._table.spare:
                    await self._start()
            await asyncio.sleep(WATCH_S)
        ray.kill(ray.get_runtime_context().current_actor)

    async def _ask_all(self, keep: bool) -> None:
        """`keep` goes to one empty actor, the first; others without sessions may end."""
        empty = [n for n, load in sorted(self._table.hosts.items()) if not load.sessions]
        await asyncio.gather(
            *(self._ask(n, keep and (not empty or n == empty[0])) for n in list(self._actors))
        )

    async def _ask(self, number: int, keep: bool, limit_s: float = ANSWER_S) -> None:
        try:
            async with asyncio.timeout(limit_s):
                load: Load = await self._actors[number].load.remote(keep)
            self._table.report(load, time.monotonic())
        except (RayActorError, TimeoutError):
            self._table.lose(number)
            self._actors.pop(number, None)

    async def _start(self) -> None:
        number = max(self._table.next_number, max(self._actors, default=0) + 1)
        self._actors[number] = start_actor(self._service, number)
        await self._ask(number, keep=True, limit_s=START_S)


class RayDirectory:
    """The directory as a gateway sees it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._node = ray.get_runtime_context().get_node_id()

    async def place(self, gateway: str) -> tuple[str, Host]:
        """As `calls.Directory.place`."""
        placed = await self._ask("place", gateway, self._node)
        if placed is None:
            raise ServiceError(
                f"expected room for one more session, and {self._service.args.limits.sessions} are open; "
                "try again later."
            )
        return self._host(placed)

    async def find(self, number: int) -> tuple[str, Host] | None:
        """As `calls.Directory.find`."""
        placed = await self._ask("find", number)
        return placed and self._host(placed)

    async def want(self) -> None:
        """Say that this gateway lives."""
        await self._ask("want")

    def _host(self, placed: Placed) -> tuple[str, Host]:
        number, actor = placed
        return self._service.host(number), RayHost(actor)

    async def _ask(self, method: str, *args: Any) -> Any:
        """A call of the directory actor, which is started again where it has died."""
        until_s = time.monotonic() + START_S
        while True:
            actor = directory_actor(self._service)
            try:
                return await getattr(actor, method).remote(*args)
            except RayActorError:
                if time.monotonic() > until_s:
                    raise
                await asyncio.sleep(0.2)


def directory_actor(service: Service) -> Any:
    """The service's directory, started where there is none."""
    return (
        ray.remote(DirectoryActor)
        .options(
            name=service.directory,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_concurrency=100,
        )
        .remote(service)
    )


def actor_names() -> list[str]:
    """Of all actors of all services on this cluster."""
    return [a["name"] for a in list_named_actors(all_namespaces=True) if a["namespace"] == NAMESPACE]
