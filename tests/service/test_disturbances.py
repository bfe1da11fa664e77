"""What happens to a running service under live clients, one thing after another; nobody loses a word."""

import asyncio
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.service.launched import Launched, launched, wait_until
from tests.service.speaking import Received, speak, spoken_clips
from tests.small_model import SMALL_MODEL_INT8

from voxray.audio import SAMPLE_RATE
from voxray.text import word_errors

LIMIT_S = 240.0
REPLICAS = ("ServeReplica:voxray:Gateway", "ServeReplica:voxray:Transcriber")

PAUSED_CLIENTS, PAUSED_LENGTH_S = 8, 30.0
PAUSE_AT_S, PAUSE_S = 8.0, 10.0  # longer than a replica waits for a health check

MOVED_CLIENTS, MOVED_LENGTH_S = 4, 30.0
BETWEEN_S = 1.5  # so that no utterance goes on into the next round

KILLED_CLIENTS, KILLED_LENGTH_S = 16, 60.0
BACK_S = 90.0  # for a process to be there again; a killed proxy took 22 to 27 s in ray.md, A1
KILLS = (  # when, in seconds of the stream, and whom
    (6.0, "ServeReplica:voxray:Transcriber"),
    (18.0, "BufferActor"),
    (30.0, "ServeReplica:voxray:Gateway"),
    (42.0, "haproxy -db"),
)

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """The service in processes of its own, on Ray; a line of stdin deploys another model."""
    log = tmp_path_factory.mktemp("service") / "log"
    with launched(log, module="tests.service.redeploying") as running:
        yield running


def replicas(service: Launched) -> set[int]:
    """The process ids of all gateways and transcribers."""
    return {process.pid for name in REPLICAS for process in service.processes(name)}


async def pause_the_controller(service: Launched) -> None:
    """Stop the controller's process `PAUSE_AT_S` from now, for `PAUSE_S`."""
    [controller] = service.processes("ServeController")
    await asyncio.sleep(PAUSE_AT_S)
    controller.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(PAUSE_S)
    finally:
        controller.send_signal(signal.SIGCONT)


async def speak_while_it_pauses(service: Launched, pcm: bytes) -> tuple[Received, list[Received]]:
    """What one client is told when nothing happens, and what several are told around the pause."""
    async with asyncio.timeout(LIMIT_S):
        undisturbed = await speak(service.url, pcm, frame_s=0)
        pausing = asyncio.create_task(pause_the_controller(service))
        received = await asyncio.gather(*(speak(service.url, pcm) for _ in range(PAUSED_CLIENTS)))
        await pausing
        return undisturbed, received


def test_a_silent_controller_moves_no_client_and_replaces_no_replica(service: Launched) -> None:
    before = replicas(service)
    pcm = spoken_clips(PAUSED_LENGTH_S).pcm.tobytes()
    undisturbed, received = asyncio.run(speak_while_it_pauses(service, pcm))

    assert [one.losses for one in received] == [[]] * PAUSED_CLIENTS
    for one in received:
        assert [f.segment for f in one.finals] == list(range(len(one.finals)))
        assert word_errors(undisturbed.text, one.text).errors <= 1
    assert replicas(service) == before


async def deploy_while_they_speak(service: Launched, pcm: bytes, model: Path) -> list[Received]:
    """What clients are told while the service changes to `model`.

    They speak until it has changed and each of them has been sent to another gateway.
    """
    over, received = asyncio.Event(), [Received() for _ in range(MOVED_CLIENTS)]
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as speaking:
        for one in received:
            speaking.create_task(speak(service.url, pcm, received=one, over=over))
        await happens(lambda: all(one.models for one in received) and any(one.finals for one in received))
        service.order(str(model))
        await happens(lambda: "serves again" in service.log.read_text())
        await happens(lambda: all(one.losses for one in received))
        over.set()
    return received


async def happens(condition: Callable[[], bool]) -> None:
    """Return as soon as `condition` holds."""
    while not condition():
        await asyncio.sleep(0.05)


def test_live_sessions_move_to_a_model_that_is_deployed(
    service: Launched, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = tmp_path_factory.mktemp("models") / "another"  # it serves in the next test, too
    shutil.copytree(SMALL_MODEL_INT8, model)
    between = np.zeros(round(BETWEEN_S * SAMPLE_RATE), dtype=np.int16)
    pcm = np.concatenate([spoken_clips(MOVED_LENGTH_S).pcm, between]).tobytes()
    received = asyncio.run(deploy_while_they_speak(service, pcm, model))

    for one in received:
        undisturbed = asyncio.run(speak(service.url, pcm * one.rounds, frame_s=0))
        assert [f.segment for f in one.finals] == list(range(len(one.finals)))
        assert word_errors(undisturbed.text, one.text).errors <= 2
        assert one.models[0] == str(SMALL_MODEL_INT8)
        assert one.losses  # a gateway is a replica, too
        assert undisturbed.models == [str(model)]  # its weights are the same


async def kill_in_turn(service: Launched) -> list[psutil.Process]:
    """Kill -9 the busiest process of each kind at its time; those that were killed."""
    begun_s = asyncio.get_running_loop().time()
    killed = []
    for at_s, name in KILLS:
        await asyncio.sleep(begun_s + at_s - asyncio.get_running_loop().time())
        victim = service.processes(name)[0]
        victim.kill()
        killed.append(victim)
    return killed


async def speak_while_they_die(
    service: Launched, pcm: bytes
) -> tuple[Received, list[Received], list[psutil.Process]]:
    """What one client is told when nothing happens, what all are told under the kills, and the killed."""
    async with asyncio.timeout(LIMIT_S):
        undisturbed = await speak(service.url, pcm, frame_s=0)
        killing = asyncio.create_task(kill_in_turn(service))
        received = await asyncio.gather(*(speak(service.url, pcm) for _ in range(KILLED_CLIENTS)))
        return undisturbed, received, await killing


def test_every_client_ends_with_the_full_text_whatever_is_killed(service: Launched) -> None:
    recording = spoken_clips(KILLED_LENGTH_S)
    undisturbed, received, killed = asyncio.run(speak_while_they_die(service, recording.pcm.tobytes()))

    reference = " ".join(u.text for u in recording.utterances)
    assert word_errors(reference, undisturbed.text).rate < 0.1
    assert len(killed) == len(KILLS)
    for one in received:
        assert one.losses  # or nothing was tested
        assert [f.segment for f in one.finals] == list(range(len(one.finals)))
        changed = word_errors(undisturbed.text, one.text)
        assert changed.errors <= len(KILLS), f"{one.text!r} came, and undisturbed {undisturbed.text!r}"
    wait_until(service.answers, BACK_S)
