"""Trainings on a real cluster, over a real socket, with killed gateways."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from tests.service.launched import Launched, launched, wait_until
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS

from voxray.whisper.ctranslate import CTranslate2Engine

pytestmark = pytest.mark.ray

SPLITS = {"train": 5, "dev": 2}
KEYS = {"max_steps": "2", "evaluate_every": "2", "plan.batch_s": "8", "plan.full_probability": "0"}
LIMIT_S = 150.0


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trainings")


@pytest.fixture(scope="module")
def training_service(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    log = tmp_path_factory.mktemp("service") / "log"
    words = (f"trainings.dir={directory}", f"trainings.models=[{SMALL_MODEL}]", "trainings.cpus=5")
    with launched(log, *words) as running:
        yield running


def audio_folder() -> bytes:
    clips = iter(sorted(SMALL_MODEL_CLIPS.glob("*.ogg")))
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for split, count in SPLITS.items():
            chosen = [next(clips) for _ in range(count)]
            rows = [f"{c.stem},{c.name},{c.with_suffix('.txt').read_text().strip()}" for c in chosen]
            for clip in chosen:
                tar.add(clip, f"mine/{clip.name}")
            table = "\n".join(["uid,file_name,text", *rows, ""]).encode()
            info = tarfile.TarInfo(f"mine/{split}_files.csv")
            info.size = len(table)
            tar.addfile(info, io.BytesIO(table))
    return file.getvalue()


def submit(service: Launched, data: bytes, **keys: str) -> httpx2.Response:
    fields = {"kind": "finetune", **keys}
    return httpx2.post(
        f"{service.http}/v1/trainings", data=fields, files={"data": ("mine.tar.gz", data)}, timeout=60
    )


def shown(service: Launched, id: str) -> dict[str, Any]:
    training: dict[str, Any] = httpx2.get(f"{service.http}/v1/trainings/{id}", timeout=30).json()
    return training


def processes_of(service: Launched, id: str) -> list[psutil.Process]:
    return [p for p in service.processes(id) if "voxray.recipes.training" in " ".join(p.cmdline())]


def test_a_training_from_its_archive_to_its_model_over_a_killed_gateway(
    training_service: Launched, directory: Path, tmp_path: Path
) -> None:
    service = training_service
    made = submit(service, audio_folder(), **KEYS)
    assert made.status_code == 201, made.text
    first = made.json()["id"]
    second = submit(service, audio_folder()).json()["id"]
    wait_until(lambda: shown(service, first)["status"] == "running", LIMIT_S)
    assert shown(service, second)["status"] == "queued"  # both do not fit

    (gateway,) = service.processes("ServeReplica:voxray:Gateway")
    gateway.kill()
    wait_until(service.answers, LIMIT_S)
    assert shown(service, first)["status"] == "running"
    assert (
        httpx2.post(f"{service.http}/v1/trainings/{second}/cancel", timeout=60).json()["status"]
        == "cancelled"
    )

    events = watched(service, first)
    assert events[-1]["status"] == "succeeded", (directory / first / "log").read_text()
    assert any(e["progress"] == "training" for e in events)
    assert events[-1]["result"]["steps"] == 2
    assert events[-1]["wer_before"] is not None
    assert events[-1]["formats"] == ["hf", "ct2", "ggml"]
    assert not processes_of(service, first)

    engine = CTranslate2Engine(downloaded(service, first, "ct2", tmp_path), threads=1)
    assert engine.min_window_s > 0
    deleted = httpx2.delete(f"{service.http}/v1/trainings/{first}", timeout=60)
    assert deleted.json()["deleted"]
    assert shown(service, first)["error"]["code"] == "not_found"
    assert [path.name for path in directory.iterdir()] == [second]


def watched(service: Launched, id: str) -> list[dict[str, Any]]:
    with httpx2.stream("GET", f"{service.http}/v1/trainings/{id}/events", timeout=LIMIT_S) as stream:
        lines = [line for line in stream.iter_lines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def downloaded(service: Launched, id: str, format: str, into: Path) -> Path:
    answer = httpx2.get(f"{service.http}/v1/trainings/{id}/model?format={format}", timeout=60)
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode="r:gz") as tar:
        tar.extractall(into, filter="data")
    return into / f"{id}-{format}"


def test_cancelling_ends_every_process_of_a_training(training_service: Launched) -> None:
    service = training_service
    id = submit(service, audio_folder()).json()["id"]
    wait_until(lambda: len(processes_of(service, id)[:1]), LIMIT_S)
    (job,) = processes_of(service, id)
    wait_until(lambda: any("raylet" in p.name() for p in job.children(recursive=True)), LIMIT_S)
    everything = [job, *job.children(recursive=True)]

    answer = httpx2.post(f"{service.http}/v1/trainings/{id}/cancel", timeout=60).json()

    assert answer["status"] == "cancelled"
    _, left = psutil.wait_procs(everything, timeout=20)
    assert not left
    assert shown(service, id)["status"] == "cancelled"


@pytest.mark.parametrize(
    ("data", "keys", "message"),
    [
        (b"no archive", {}, "data: expected a whole tar.gz or zip, got another file"),
        (None, {"max_step": "2"}, "training: unknown key 'max_step'; did you mean 'max_steps'?"),
    ],
)
def test_what_cannot_be_trained_is_said_in_a_sentence_and_leaves_nothing(
    data: bytes | None, keys: dict[str, str], message: str, training_service: Launched, directory: Path
) -> None:
    before = sorted(directory.iterdir())

    answer = submit(training_service, data or audio_folder(), **keys)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message)
    assert sorted(directory.iterdir()) == before
