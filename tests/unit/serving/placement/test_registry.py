"""A directory over hosts that are slow, die, and start late."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from voxray.errors import ServiceError
from voxray.serving.placement import registry
from voxray.serving.placement.registry import Registry
from voxray.serving.placement.table import Load, Table
from voxray.serving.protocol import HostGone

LIMIT_S = 20.0


@dataclass
class Actor:
    """A host with a load that the test sets."""

    number: int
    sessions: int = 0
    dead: bool = False
    slow: bool = False
    kept: int = 0

    async def load(self, keep: bool) -> Load:
        if self.dead:
            raise HostGone("dead")
        if self.slow:
            raise TimeoutError
        self.kept += keep
        return Load(self.number, "node", self.sessions)


@dataclass
class Actors:
    """Hosts that exist, and those that are started."""

    existing: dict[int, Actor] = field(default_factory=dict)
    started: list[Actor] = field(default_factory=list)
    nodes: list[str | None] = field(default_factory=list)  # where those were started
    stillborn: bool = False
    recoveries: int = 0

    async def found(self) -> dict[int, Actor]:
        self.recoveries += 1
        await asyncio.sleep(0)
        return dict(self.existing)

    def start(self, number: int, node: str | None) -> Actor:
        self.nodes.append(node)
        self.started.append(Actor(number, dead=self.stillborn))
        return self.started[-1]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "WATCH_S", 0.01)


def run(
    test: Callable[[Registry[Actor]], Awaitable[None]],
    actors: Actors,
    *,
    capacity: int = 2,
    limit: int = 100,
    on_idle: Callable[[], None] = lambda: None,
) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT_S):
            await test(Registry(actors, Table(capacity, limit), on_idle))

    asyncio.run(limited())


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # within LIMIT_S
        await asyncio.sleep(0.005)


def test_hosts_that_are_there_are_found_again() -> None:
    actors = Actors({7: Actor(7)})

    async def test(directory: Registry[Actor]) -> None:
        assert await directory.find(7) is actors.existing[7]
        assert await directory.find(8) is None

    run(test, actors)


def test_many_callers_at_first_share_one_recovery() -> None:
    actors = Actors({7: Actor(7)})

    async def test(directory: Registry[Actor]) -> None:
        await asyncio.gather(*(directory.want() for _ in range(50)))

        assert actors.recoveries == 1

    run(test, actors)


def test_one_host_is_kept_ready() -> None:
    actors = Actors()

    async def test(directory: Registry[Actor]) -> None:
        placed = await directory.place("gateway", "node")
        assert placed
        await until(lambda: len(actors.started) == 2)
        await until(lambda: any(a.kept > 3 for a in actors.started))

        assert len(actors.started) == 2

    run(test, actors)


def test_numbers_never_recur() -> None:
    actors = Actors({7: Actor(7, sessions=2)})

    async def test(directory: Registry[Actor]) -> None:
        placed = await directory.place("gateway", "node")
        assert placed
        first = placed[0]
        await until(lambda: len(actors.started) == 2)
        actors.started[1].dead = True  # the highest number
        await until(lambda: len(actors.started) == 3)

        numbers = [a.number for a in actors.started]
        assert len(set(numbers)) == len(numbers)
        assert min(numbers) == first > 7

    run(test, actors)


def test_a_slow_host_keeps_its_sessions_and_gets_no_new_ones() -> None:
    actors = Actors({7: Actor(7, sessions=1, slow=True), 8: Actor(8)})

    async def test(directory: Registry[Actor]) -> None:
        placed = await directory.place("gateway", "node")
        assert placed
        assert placed[0] == 8
        assert await directory.find(7) is actors.existing[7]

        actors.existing[7].slow = False
        actors.existing[8].dead = True
        await until(lambda: 8 not in directory._members)
        placed = await directory.place("gateway", "node", without=[a.number for a in actors.started])
        assert placed
        assert placed[0] == 7

    run(test, actors)


def test_a_full_service_places_no_session() -> None:
    actors = Actors({7: Actor(7)})

    async def test(directory: Registry[Actor]) -> None:
        assert await directory.place("gateway", "node")
        assert await directory.place("gateway", "node") is None

    run(test, actors, limit=1)


def test_hosts_that_do_not_start_are_not_a_full_service() -> None:
    actors = Actors(stillborn=True)

    async def test(directory: Registry[Actor]) -> None:
        with pytest.raises(ServiceError, match="none that starts"):
            await directory.place("gateway", "node")

        actors.stillborn = False
        assert await directory.place("gateway", "node")

    run(test, actors)


def test_hosts_are_started_on_the_nodes_of_the_gateways_that_call() -> None:
    actors = Actors()

    async def test(directory: Registry[Actor]) -> None:
        await directory.want("a")
        await until(lambda: actors.nodes == ["a"])
        await directory.place("gateway", "b")
        await until(lambda: actors.nodes == ["a", "b"])

    run(test, actors)


def test_it_ends_without_calls_of_a_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "WANTED_S", 0.05)
    actors, ends = Actors({7: Actor(7)}), list[int]()

    async def test(directory: Registry[Actor]) -> None:
        await directory.want()
        await until(lambda: ends)

    run(test, actors, on_idle=lambda: ends.append(1))
