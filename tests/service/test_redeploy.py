"""A new model is deployed under live clients: they move over, and nobody loses a word."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.benchmarks.recordings import Recording
from tests.service.launched import Launched, launched
from tests.service.speaking import Received, speak, spoken_clips
from tests.small_model import SMALL_MODEL_INT8

from voxray.audio import SAMPLE_RATE
from voxray.text import word_errors

CLIENTS = 4
LENGTH_S = 30.0
PAUSE_S = 1.5  # so that no utterance goes on into the next round
LIMIT_S = 240.0

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def recording() -> Recording:
    """The clips that the small model knows, one after another, and a pause before they come again."""
    clips = spoken_clips(LENGTH_S)
    pause = np.zeros(round(PAUSE_S * SAMPLE_RATE), dtype=np.int16)
    return replace(clips, pcm=np.concatenate([clips.pcm, pause]))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    log = tmp_path_factory.mktemp("service") / "log"
    with launched(log, module="tests.service.redeploying") as running:
        yield running


async def deploy_while_they_speak(service: Launched, pcm: bytes, model: Path) -> list[Received]:
    """What clients are told while the service changes to `model`.

    They speak until it has changed and each of them has been sent to another gateway.
    """
    over, received = asyncio.Event(), [Received() for _ in range(CLIENTS)]
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


def test_live_sessions_move_to_the_new_model(service: Launched, recording: Recording, tmp_path: Path) -> None:
    model = tmp_path / "another"
    shutil.copytree(SMALL_MODEL_INT8, model)

    pcm = recording.pcm.tobytes()
    received = asyncio.run(deploy_while_they_speak(service, pcm, model))

    for one in received:
        undisturbed = asyncio.run(speak(service.url, pcm * one.rounds, frame_s=0))
        assert [f.segment for f in one.finals] == list(range(len(one.finals)))
        assert word_errors(undisturbed.text, one.text).errors <= 2
        assert one.models[0] == str(SMALL_MODEL_INT8)
        assert one.losses  # a gateway is a replica, too
        assert undisturbed.models == [str(model)]  # its weights are the same
