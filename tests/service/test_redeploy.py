"""A new model is deployed under live clients: they move over, and nobody loses a word."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.benchmarks.recordings import Recording, of_kind
from tests.service.launched import Launched, launched, wait_until
from tests.service.speaking import Told, beginning, speak

from voxray.text import word_errors

CLIENTS = 4
LENGTH_S = 50.0
AT_S = 8.0
LIMIT_S = 240.0

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def recording() -> Recording:
    """The built-in clips, one after another."""
    return beginning(of_kind("clips")[0], LENGTH_S)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    log = tmp_path_factory.mktemp("service") / "log"
    with launched(log, module="tests.service.redeploying") as running:
        yield running


async def deploy_while_they_speak(service: Launched, pcm: bytes, model: Path) -> tuple[Told, list[Told]]:
    """What one client is told before, and what all are told while the service changes to `model`."""
    async with asyncio.timeout(LIMIT_S):
        undisturbed = await speak(service.url, pcm, frame_s=0)
        speaking = [asyncio.create_task(speak(service.url, pcm)) for _ in range(CLIENTS)]
        await asyncio.sleep(AT_S)
        service.order(str(model))
        return undisturbed, await asyncio.gather(*speaking)


def test_live_sessions_move_to_the_new_model(
    service: Launched, recording: Recording, tmp_path: Path, assets: Path
) -> None:
    model = tmp_path / "another"
    shutil.copytree(assets / "model-int8", model)

    undisturbed, told = asyncio.run(deploy_while_they_speak(service, recording.pcm.tobytes(), model))

    wait_until(lambda: "serves again" in service.log.read_text(), LIMIT_S)
    for one in told:
        assert [f.segment for f in one.finals] == list(range(len(one.finals)))
        assert word_errors(undisturbed.text, one.text).errors <= 2
        assert one.models[0] == "builtin"
        assert one.losses  # a gateway is a replica, too
    last = asyncio.run(speak(service.url, recording.pcm[:32_000].tobytes(), frame_s=0))
    assert last.models == [str(model)]
