"""The directory in Ray: a small named actor that knows which buffer actor has which session.

If it dies, the next caller starts it again, and it recovers from the named buffer actors and their loads.
"""

import asyncio
import time
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayActorError, RayTaskError
from ray.util import list_named_actors

from voxray.errors import ServiceError
from voxray.serving.placement.registry import START_S, Registry
from voxray.serving.placement.table import Load, Table
from voxray.serving.protocol import Host, HostGone
from voxray.serving.ray.actors import RayHost, start_actor
from voxray.serving.ray.names import NAMESPACE, Service

Placed = tuple[int, Any]


class RayMember:
    """A `registry.Member`: a buffer actor, as the directory sees it."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    async def load(self, keep: bool) -> Load:
        """See `Member.load`. Raises TimeoutError for an actor that Ray cannot reach now, and may later."""
        try:
            load: Load = await self.actor.load.remote(keep)
        except ActorDiedError as e:
            raise HostGone(str(e).splitlines()[0]) from e
        except RayActorError as e:
            raise TimeoutError from e
        return load


class RayFleet:
    """A `registry.Fleet`: the buffer actors of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def found(self) -> dict[int, RayMember]:
        """See `Fleet.found`."""
        return await asyncio.to_thread(self._found)

    def _found(self) -> dict[int, RayMember]:
        members = dict[int, RayMember]()
        for name in actor_names():
            number = self._service.number(name)
            if number is not None:
                try:
                    actor = ray.get_actor(name, NAMESPACE)
                except ValueError:
                    continue  # it ended meanwhile
                actor.run.remote()  # which dies with a directory that dies while the actor starts
                members[number] = RayMember(actor)
        return members

    def start(self, number: int, node: str | None) -> RayMember:
        """See `Fleet.start`."""
        return RayMember(start_actor(self._service, number, node))


class DirectoryActor:
    """A `Registry` in a process of its own."""

    def __init__(self, service: Service) -> None:
        limits = service.args.limits
        table = Table(limits.sessions_per_actor, limits.sessions)
        self._registry = Registry(RayFleet(service), table, _end)

    async def place(self, gateway: str, node: str, without: tuple[int, ...]) -> Placed | None:
        """See `Registry.place`."""
        placed = await self._registry.place(gateway, node, without)
        return placed and (placed[0], placed[1].actor)

    async def find(self, number: int) -> Placed | None:
        """See `Registry.find`."""
        member = await self._registry.find(number)
        return None if member is None else (number, member.actor)

    async def want(self, node: str) -> None:
        """See `Registry.want`."""
        await self._registry.want(node)


class RayDirectory:
    """A `protocol.Directory`: the directory actor, as a gateway sees it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._node = ray.get_runtime_context().get_node_id()
        self._actor: Any = None

    async def place(self, gateway: str, without: frozenset[str] = frozenset()) -> tuple[str, Host]:
        """See `protocol.Directory.place`."""
        numbers = tuple(n for name in without if (n := self._service.number(name)) is not None)
        placed = await self._ask("place", gateway, self._node, numbers)
        if placed is None:
            raise ServiceError(
                f"expected at most {self._service.args.limits.sessions} sessions, got one more; "
                "try again later."
            )
        return self._host(placed)

    async def find(self, number: int) -> tuple[str, Host] | None:
        """See `protocol.Directory.find`."""
        placed = await self._ask("find", number)
        return placed and self._host(placed)

    async def want(self) -> None:
        """Report that this gateway is running; see `Registry.want`."""
        await self._ask("want", self._node)

    def _host(self, placed: Placed) -> tuple[str, Host]:
        number, actor = placed
        return self._service.host(number), RayHost(actor)

    async def _ask(self, method: str, *args: Any) -> Any:
        """Call the directory actor; if it has died, start it again.

        It is looked up by name only then: that blocks the event loop, and with it all of the gateway.
        """
        until_s = time.monotonic() + START_S
        while True:
            try:
                self._actor = self._actor or directory_actor(self._service)
                return await getattr(self._actor, method).remote(*args)
            except RayActorError:
                self._actor = None
                if time.monotonic() > until_s:
                    raise
                await asyncio.sleep(0.2)
            except RayTaskError as e:
                raise e.cause from e  # as it was raised there, without the traceback of that process


def directory_actor(service: Service) -> Any:
    """Return the service's directory actor; start it if there is none."""
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
    """Return the names of all actors of all services on this cluster."""
    return [a["name"] for a in list_named_actors(all_namespaces=True) if a["namespace"] == NAMESPACE]


def _end() -> None:
    ray.kill(ray.get_runtime_context().current_actor)
