"""Transcribers come and go with the load, and an actor can be one client's own; nobody loses a word."""

import asyncio

import pytest
from tests.benchmarks.recordings import Recording
from tests.service.launched import Launched, wait_until
from tests.service.sdks import ApiError, by_deepgram, by_openai, deepgram_text
from tests.service.speaking import Received, beginning, speak

from voxray.text import word_errors

CLIENTS = 5
LENGTH_S = 40.0
LIMIT_S = 240.0
SCALED_S = 90.0  # a replica's start on a busy machine, and Serve's own delays
TRANSCRIBER = "ServeReplica:voxray:Transcriber"
ARGS = (
    "limits.sessions_per_actor=1",
    "limits.kept_s=2",
    "transcriber.max=2",
    "transcriber.queue_delay_s=0.015",  # less than a batch is waited for, so that any load is too much
    "transcriber.up_s=2",
    "transcriber.down_s=4",
)

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def scaled(service: Launched) -> bool:
    """Whether there are two transcribers, and an actor for each client."""
    return len(service.processes(TRANSCRIBER)) == 2 and len(service.processes("BufferActor")) >= CLIENTS


async def speak_while_it_scales(service: Launched, pcm: bytes) -> tuple[Received, list[Received]]:
    """What one is told alone, and what several are told at once."""
    async with asyncio.timeout(LIMIT_S):
        undisturbed = await speak(service.url, pcm, frame_s=0)
        speaking = [asyncio.create_task(speak(service.url, pcm)) for _ in range(CLIENTS)]
        await asyncio.to_thread(wait_until, lambda: scaled(service), SCALED_S)
        return undisturbed, await asyncio.gather(*speaking)


def test_a_second_transcriber_comes_and_goes(launched_service: Launched, recording: Recording) -> None:
    undisturbed, received = asyncio.run(speak_while_it_scales(launched_service, recording.pcm.tobytes()))

    for one in received:
        assert [f.segment for f in one.finals] == list(range(len(one.finals)))
        assert word_errors(undisturbed.text, one.text).errors <= 1
        assert not one.losses
    wait_until(lambda: len(launched_service.processes(TRANSCRIBER)) == 1, SCALED_S)
    assert (
        asyncio.run(speak(launched_service.url, recording.pcm.tobytes(), frame_s=0)).text == undisturbed.text
    )


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_clients_of_other_services_are_served_behind_the_proxy(
    launched_service: Launched, recording: Recording
) -> None:
    pcm = beginning(recording, LENGTH_S / 2).pcm
    ours = asyncio.run(speak(launched_service.url, pcm.tobytes(), frame_s=0)).text

    assert word_errors(ours, asyncio.run(by_openai(launched_service.http, pcm)).text).errors <= 1
    told = asyncio.run(by_deepgram(launched_service.http, pcm, punctuate=True, endpointing=600))
    assert deepgram_text(told) == ours
    with pytest.raises(ApiError, match="status_code: 400"):
        asyncio.run(by_deepgram(launched_service.http, pcm, diarize=True))
