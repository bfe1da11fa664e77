"""Any process of the service is killed under live clients, and every client ends with the full text."""

import asyncio

import psutil
import pytest
from tests.benchmarks.recordings import Recording
from tests.service.launched import Launched, wait_until
from tests.service.speaking import Received, speak

from voxray.text import word_errors

CLIENTS = 16
LENGTH_S = 60.0
BACK_S = 90.0  # for a process to be there again; a killed proxy takes 22 to 27 s (ray.md, A1)
LIMIT_S = 240.0
KILLS = (  # when, in seconds of the stream, and whom
    (6.0, "ServeReplica:voxray:Transcriber"),
    (18.0, "BufferActor"),
    (30.0, "ServeReplica:voxray:Gateway"),
    (42.0, "haproxy -db"),
)

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


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


async def everything(service: Launched, pcm: bytes) -> tuple[Received, list[Received], list[psutil.Process]]:
    """What one client is told when nothing happens, what all are told under the kills, and the killed."""
    async with asyncio.timeout(LIMIT_S):
        undisturbed = await speak(service.url, pcm, frame_s=0)
        killing = asyncio.create_task(kill_in_turn(service))
        received = await asyncio.gather(*(speak(service.url, pcm) for _ in range(CLIENTS)))
        return undisturbed, received, await killing


def test_every_client_ends_with_the_full_text(launched_service: Launched, recording: Recording) -> None:
    undisturbed, received, killed = asyncio.run(everything(launched_service, recording.pcm.tobytes()))

    reference = " ".join(u.text for u in recording.utterances)
    assert word_errors(reference, undisturbed.text).rate < 0.1
    assert len(killed) == len(KILLS)
    for one in received:
        assert one.losses  # or nothing was tested
        assert [f.segment for f in one.finals] == list(range(len(one.finals)))
        changed = word_errors(undisturbed.text, one.text)
        assert changed.errors <= len(KILLS), f"{one.text!r} came, and undisturbed {undisturbed.text!r}"
    wait_until(launched_service.answers, BACK_S)
