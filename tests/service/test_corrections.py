"""The closed loop on Ray: what is spoken with a key is corrected, and is then a corpus."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.benchmarks.recordings import Recording
from tests.service.launched import Launched, launched, wait_until
from tests.service.speaking import speak
from tests.unit.serving.corrections.test_store import add

from voxray.audio import SAMPLE_RATE
from voxray.corpora.sources import load_clips
from voxray.serving.corrections.store import CorrectionStore
from voxray.serving.gateway.auth import AccessPolicy
from voxray.serving.settings import CorrectionSettings, ServiceArgs
from voxray.wire import Start

pytestmark = pytest.mark.ray

LENGTH_S = 20.0  # of the recording
LIMIT_S = 60.0
URL = "/v1/corrections"
OURS, THEIRS = "ours", "theirs"
OLD_S = 31 * 24 * 3600.0  # longer than recordings are kept


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corrections")


@pytest.fixture(scope="module")
def service(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """The service with two keys and an audit log; of one key there is a recording that is too old."""
    files = tmp_path_factory.mktemp("service")
    (files / "keys").write_text(f"{OURS}\n{THEIRS}\n")
    store = CorrectionStore(CorrectionSettings(dir=directory))
    store.enable(owner(OURS), enabled=True)
    add(store, "too old", 0.5, owner=owner(OURS))
    store.enable(owner(OURS), enabled=False)
    for file in directory.rglob("*-*.*"):
        os.utime(file, (time.time() - OLD_S,) * 2)
    access = (f"access.keys_file={files / 'keys'}", f"access.audit_log={files / 'audit'}")
    with launched(files / "log", f"corrections.dir={directory}", *access) as running:
        yield running


def owner(key: str) -> str:
    return AccessPolicy.of(ServiceArgs(), {"VOXRAY_API_KEYS": f"{OURS},{THEIRS}"}).owner(key)


def client(service: Launched, key: str) -> httpx2.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx2.Client(base_url=service.http, headers=headers, timeout=30)


def finals(service: Launched, recording: Recording, key: str) -> list[str]:
    """The texts that a client with this key is sent, as fast as it has credit."""
    speaking = speak(service.url, recording.pcm.tobytes(), frame_s=0, start=Start(api_key=key))
    return [final.text for final in asyncio.run(speaking).finals if final.text]


def recorded(service: Launched, recording: Recording, ours: httpx2.Client) -> list[str]:
    """The finals of a session that is recorded: an actor learns within a second that a key has opted in."""
    before, sent = int(ours.get(URL).json()["pending"]), list[str]()

    def pending() -> int:
        return int(ours.get(URL).json()["pending"]) - before

    def spoken() -> int:
        sent[:] = finals(service, recording, OURS)
        return pending()

    wait_until(spoken, LIMIT_S)
    wait_until(lambda: pending() >= len(sent), LIMIT_S)
    return sent


def test_what_a_key_spoke_is_corrected_and_is_then_a_corpus(
    service: Launched, recording: Recording, directory: Path
) -> None:
    with client(service, OURS) as ours, client(service, THEIRS) as theirs:
        wait_until(lambda: ours.get(URL).json()["pending"] == 0, LIMIT_S)  # what was too old
        assert ours.post(URL, json={"enabled": True}).json()["enabled"]
        assert finals(service, recording, THEIRS)
        sent = recorded(service, recording, ours)
        service.processes("BufferActor")[0].kill()

        clips = ours.get(URL).json()["data"]
        assert {clip["text"] for clip in clips} <= set(sent)
        confidences = [clip["confidence"] for clip in clips]
        assert confidences == sorted(confidences)
        first = clips[0]["id"]
        assert ours.get(f"{URL}/{first}/audio").content[:4] == b"fLaC"
        assert ours.post(f"{URL}/{first}", json={"text": "what was spoken"}).status_code == 200
        assert ours.delete(f"{URL}/{clips[1]['id']}").json()["deleted"]

        listed = ours.get(URL).json()
        assert (listed["corrected"], len(listed["data"])) == (1, len(clips) - 2)
        [clip], rejected = load_clips(listed["corpus"])
        assert (clip.text, rejected) == ("what was spoken", [])
        assert len(clip.pcm) / SAMPLE_RATE == pytest.approx(clips[0]["duration_s"], abs=0.01)

        assert recorded(service, recording, ours) == sent  # on another actor
        assert theirs.get(URL).json()["data"] == []
        assert theirs.get(f"{URL}/{clips[2]['id']}/audio").status_code == 404
        assert not (directory / owner(THEIRS)).exists()

        assert ours.delete(URL).json()["pending"] == 0
        assert not list(directory.iterdir())
    audit = (service.log.parent / "audit").read_text()
    assert audit.count("session") > 2
    assert not any(text in audit for text in sent)
