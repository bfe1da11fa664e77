"""Serve's controller is silent under live clients: nobody is moved, and no replica is replaced."""

import asyncio
import signal

import pytest
from tests.benchmarks.recordings import Recording
from tests.service.launched import Launched
from tests.service.speaking import Received, speak

from voxray.text import word_errors

CLIENTS = 8
LENGTH_S = 45.0
PAUSE_AT_S = 8.0
PAUSE_S = 10.0  # longer than a replica waits for a health check
LIMIT_S = 240.0
REPLICAS = ("ServeReplica:voxray:Gateway", "ServeReplica:voxray:Transcriber")

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


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
    """What one client is received when nothing happens, and what several are received around the pause."""
    async with asyncio.timeout(LIMIT_S):
        undisturbed = await speak(service.url, pcm, frame_s=0)
        pausing = asyncio.create_task(pause_the_controller(service))
        received = await asyncio.gather(*(speak(service.url, pcm) for _ in range(CLIENTS)))
        await pausing
        return undisturbed, received


def test_a_silent_controller_moves_no_client(launched_service: Launched, recording: Recording) -> None:
    before = replicas(launched_service)
    undisturbed, received = asyncio.run(speak_while_it_pauses(launched_service, recording.pcm.tobytes()))

    assert [one.losses for one in received] == [[]] * CLIENTS
    for one in received:
        assert [f.segment for f in one.finals] == list(range(len(one.finals)))
        assert word_errors(undisturbed.text, one.text).errors <= 1
    assert replicas(launched_service) == before
