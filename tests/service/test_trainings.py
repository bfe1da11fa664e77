"""Trainings on a real cluster, over a real socket, with killed gateways; their models served by name."""

import asyncio
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import numpy as np
import psutil
import pytest
from tests.benchmarks.recordings import Recording
from tests.service.launched import Launched, free_port, launched, wait_until
from tests.service.speaking import Received, speak
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS, SMALL_MODEL_INT8
from tests.unit.serving.trainings.finished import finished_training

from voxray.client import stream
from voxray.errors import WireError
from voxray.text import word_errors
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.wire import Start

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.ray

SPLITS = {"train": 5, "dev": 2}
KEYS = {"max_steps": "2", "evaluate_every": "2", "plan.batch_s": "8", "plan.full_probability": "0"}
LIMIT_S = 150.0
LENGTH_S = 20.0  # of the recording
LOADS = 2  # of models, while others decode; all fit, as one that was deleted could not be loaded again
STALL_S = 0.8  # by which a load, of a second on the same cores, may delay the words of other models


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trainings")


@pytest.fixture(scope="module")
def tensorboard_port() -> int:
    """A port of the operator's TensorBoard."""
    return free_port()


@pytest.fixture(scope="module")
def training_service(
    directory: Path, tensorboard_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launched]:
    log = tmp_path_factory.mktemp("service") / "log"
    words = (f"trainings.dir={directory}", f"trainings.models=[{SMALL_MODEL}]", "trainings.cpus=5")
    board = f"trainings.tensorboard_url=http://127.0.0.1:{tensorboard_port}"
    names = "{third: tiny.en, fourth: tiny.en@stock, none: /no/model}"
    models = (f"models={names}", "transcriber.loaded_models=3")
    with launched(log, *words, board, *models) as running:
        yield running


@pytest.fixture(scope="module")
def trained(training_service: Launched, directory: Path) -> Iterator[list[dict[str, Any]]]:
    """The events of a training whose gateway was killed; it is deleted at last."""
    service = training_service
    made = submit(service, audio_folder(), **KEYS)
    assert made.status_code == 201, made.text
    first = made.json()["id"]
    second = submit(service, audio_folder()).json()["id"]
    wait_until(lambda: shown(service, first)["status"] == "running", LIMIT_S)
    waiting = shown(service, second)  # both do not fit
    assert (waiting["status"], waiting["progress"]) == ("queued", "queued: waiting for 5 CPU to be free")

    (gateway,) = service.processes("ServeReplica:voxray:Gateway")
    gateway.kill()
    wait_until(service.answers, LIMIT_S)
    assert shown(service, first)["status"] == "running"
    cancelled = httpx2.post(f"{service.http}/v1/trainings/{second}/cancel", timeout=60).json()
    assert cancelled["status"] == "cancelled"
    yield watched(service, first)
    deleted = httpx2.delete(f"{service.http}/v1/trainings/{first}", timeout=60)
    assert deleted.json()["deleted"]
    assert shown(service, first)["error"]["code"] == "not_found"
    assert transcribed(service, first).json()["error"]["code"] == "model_not_found"
    assert not (directory / first).exists()


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
    training_service: Launched, trained: list[dict[str, Any]], directory: Path, tmp_path: Path
) -> None:
    last = trained[-1]
    assert last["status"] == "succeeded", (directory / last["id"] / "log").read_text()
    assert any(e["progress"] == "training" for e in trained)
    assert last["result"]["steps"] == 2
    assert last["wer_before"] is not None
    assert last["formats"] == ["hf", "ct2"]
    refused = httpx2.get(f"{training_service.http}/v1/trainings/{last['id']}/model?format=ggml", timeout=30)
    assert "expected OpenAI's vocabulary" in refused.text  # which the small model has not
    assert not processes_of(training_service, last["id"])

    engine = CTranslate2Engine(downloaded(training_service, last["id"], "ct2", tmp_path), threads=1)
    assert engine.min_window_s > 0


def test_the_operators_tensorboard_shows_the_run(
    trained: list[dict[str, Any]], directory: Path, tensorboard_port: int
) -> None:
    last = trained[-1]
    words = ("--logdir", str(directory), "--port", str(tensorboard_port), "--load_fast=false")
    command = [sys.executable, "-m", "tensorboard.main", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as board:
        try:
            runs = f"http://127.0.0.1:{tensorboard_port}/data/runs"
            wait_until(lambda: f"{last['id']}/out/tensorboard" in json_of(runs), LIMIT_S)
            assert last["id"] in last["tensorboard_url"]
            assert httpx2.get(last["tensorboard_url"], timeout=30).status_code == 200
        finally:
            board.terminate()


def json_of(url: str) -> Any:
    """What is served at `url`; nothing where nobody listens yet."""
    try:
        return httpx2.get(url, timeout=30).json()
    except httpx2.ConnectError:
        return []


def test_a_trained_model_is_served_by_its_id(
    training_service: Launched, trained: list[dict[str, Any]], recording: Recording
) -> None:
    service, first = training_service, trained[-1]["id"]
    told = asyncio.run(speak(service.url, recording.pcm.tobytes(), frame_s=0, start=Start(model=first)))
    assert told.models == [first]
    assert word_errors(" ".join(u.text for u in recording.utterances), told.text).rate < 0.5
    assert transcribed(service, first).json()["text"]


def transcribed(service: Launched, model: str) -> httpx2.Response:
    file = min(SMALL_MODEL_CLIPS.glob("*.ogg"))
    files, data = {"file": (file.name, file.read_bytes())}, {"model": model}
    return httpx2.post(f"{service.http}/v1/audio/transcriptions", data=data, files=files, timeout=60)


def listed(service: Launched) -> dict[str, dict[str, Any]]:
    models = httpx2.get(f"{service.http}/v1/models", timeout=30).json()["data"]
    return {model["id"]: model for model in models}


def test_other_models_are_loaded_while_two_decode_and_one_is_deleted_in_use(
    training_service: Launched, directory: Path, recording: Recording
) -> None:
    service, trained = training_service, finished_training(directory, SMALL_MODEL_INT8)
    assert not listed(service)[trained.id]["loaded"]

    quiet, loading, told = asyncio.run(speak_while_others_are_loaded(service, recording, trained.id))

    print(f"partials after their audio, p95: {quiet:.3f} s, while a model is loaded {loading:.3f} s")
    assert loading < quiet + STALL_S
    assert [one.models for one in told] == [[str(SMALL_MODEL_INT8)], [trained.id]]
    assert word_errors(told[0].text, told[1].text).errors <= 1  # they are the same
    assert not any(one.losses for one in told)
    assert trained.id not in listed(service)
    with pytest.raises(WireError, match=f"model: expected one of .*, got '{trained.id}'"):
        asyncio.run(speak(service.url, b"", start=Start(model=trained.id)))


async def speak_while_others_are_loaded(
    service: Launched, recording: Recording, trained: str
) -> tuple[float, float, list[Received]]:
    """Return the p95 of two clients' delays, in quiet times and while others load models, and their texts.

    The second one's model is deleted while it speaks.
    """
    pcm = recording.pcm.tobytes()
    told = [Received(), Received()]
    starts = [Start(), Start(model=trained)]
    speaking = [
        asyncio.create_task(speak(service.url, pcm, received=one, start=start))
        for one, start in zip(told, starts, strict=True)
    ]
    now_s = asyncio.get_running_loop().time
    loads = list[tuple[float, float]]()
    await asyncio.to_thread(wait_until, lambda: all(len(one.delays_s) > 4 for one in told), LIMIT_S)
    for number in range(LOADS):
        began_s, model = now_s(), ("third", "fourth")[number % 2]
        async with stream(service.url, Start(model=model)):
            await asyncio.to_thread(wait_until, lambda name=model: listed(service)[name]["loaded"], LIMIT_S)  # type: ignore[misc]  # a default binds it
        loads.append((began_s, now_s()))
        if number == 0:
            await asyncio.to_thread(httpx2.delete, f"{service.http}/v1/trainings/{trained}", timeout=60)
    await asyncio.gather(*speaking)
    delays = [delay for one in told for delay in one.delays_s]
    within = [any(a <= at <= b + STALL_S for a, b in loads) for at, _ in delays]
    print("loads:", [f"{b - a:.2f} s" for a, b in loads], f"{sum(within)} of {len(within)} partials")
    return p95(delays, within, False), p95(delays, within, True), told


def p95(delays: Sequence[tuple[float, float]], within: Sequence[bool], wanted: bool) -> float:
    chosen = [delay_s for (_, delay_s), is_within in zip(delays, within, strict=True) if is_within is wanted]
    return float(np.percentile(chosen, 95))


def test_a_model_that_cannot_be_loaded_is_an_error_of_those_who_ask_for_it(
    training_service: Launched, recording: Recording
) -> None:
    service = training_service

    with pytest.raises(WireError, match="model 'none': expected one that can be loaded"):
        asyncio.run(speak(service.url, recording.pcm.tobytes(), start=Start(model="none")))
    assert transcribed(service, "none").status_code == 503
    assert listed(service)["none"]["min_window_s"] is None
    assert transcribed(service, "whisper-1").json()["text"]


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


# The last: Playwright's loop runs in this thread from its first page on, and asyncio.run starts beside none.
@pytest.mark.browser
def test_the_page_shows_a_training_and_makes_another(
    page: "Page", training_service: Launched, trained: list[dict[str, Any]], directory: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    service, id = training_service, trained[-1]["id"]
    with tarfile.open(fileobj=io.BytesIO(audio_folder())) as archive:
        archive.extractall(tmp_path, filter="data")
    page.goto(f"{service.http}/trainings")
    card = page.locator(f"[data-id={id}]")
    expect(card.locator(".wers .before")).to_have_text(f"{trained[-1]['wer_before']:.1f} %")
    card.get_by_role("button", name="Listen to the worst clips").click()
    clips = httpx2.get(f"{service.http}/v1/trainings/{id}/clips", timeout=30).json()["data"]
    expect(page.locator(".clip audio")).to_have_count(len(clips))
    page.get_by_role("button", name="Close").click()
    card.get_by_role("button", name="Report").click()
    expect(page.frame_locator("#report").locator("h1")).to_contain_text("Fine-tuning")
    page.get_by_role("button", name="Close").click()

    page.set_input_files("#folder", tmp_path / "mine")
    page.get_by_label("Steps").fill("2")
    page.click("#start")
    another = page.locator(".training").first
    expect(another.locator(".status-label")).to_have_text("Running", timeout=LIMIT_S * 1000)
    another.get_by_role("button", name="Cancel").click()
    expect(another.locator(".status-label")).to_have_text("Cancelled", timeout=LIMIT_S * 1000)
    made = directory / (another.get_attribute("data-id") or "")
    assert len(list((made / "data").glob("*.ogg"))) == sum(SPLITS.values())
    another.get_by_role("button", name="Delete").click()
    page.locator("#delete-dialog").get_by_role("button", name="Delete").click()
    wait_until(lambda: not made.exists(), LIMIT_S)
