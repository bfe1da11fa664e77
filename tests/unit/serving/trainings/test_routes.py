"""The routes behind the gateway's own checks, with a runner that runs nothing."""

import asyncio
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.unit.serving.corrections.test_store import add
from tests.unit.serving.gateway.scripted import ScriptedDirectory
from tests.unit.serving.rest.test_routes import StuckTranscriber
from tests.unit.serving.trainings.archives import tar, zipped

from voxray.errors import ConfigError
from voxray.serving.corrections.store import CorrectionStore
from voxray.serving.gateway import app as gateway_app
from voxray.serving.gateway.auth import AccessPolicy
from voxray.serving.model_catalog import ModelCatalog
from voxray.serving.rest.routes import Api
from voxray.serving.settings import CorrectionSettings, ServiceArgs
from voxray.serving.trainings.fine_tuning import FineTuningApi
from voxray.serving.trainings.routes import TrainingApi
from voxray.serving.trainings.service import TrainingService
from voxray.serving.trainings.states import TrainingRequest, TrainingStatus
from voxray.serving.trainings.store import TrainingFolder, TrainingStore

KEYS = {"VOXRAY_API_KEYS": "mine,yours"}
DATA = tar({"a.wav": b"sound", "a.txt": b"text"})
URL = "/v1/trainings"
CLIPS: dict[str, Any] = {"object": "list", "data": []}


@dataclass
class ScriptedRunner:
    """Knows one key, `max_steps`; its trainings stay in the queue until a test moves them."""

    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    async def check(self, request: TrainingRequest) -> None:
        if unknown := request.keys.keys() - {"max_steps", "plan.batch_s"}:
            raise ConfigError(f"training: unknown key {min(unknown)!r}.")

    async def start(self, id: str) -> None:
        self.started.append(id)

    async def stop(self, folder: TrainingFolder) -> None:
        self.stopped.append(folder.id)

    async def queue_reason(self) -> str:
        return "waiting for 1 CPU to be free"


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()


@pytest.fixture
def client(tmp_path: Path, runner: ScriptedRunner) -> Iterator[TestClient]:
    headers = {"Authorization": "Bearer mine"}
    with TestClient(app_of(tmp_path, runner), base_url="http://127.0.0.1", headers=headers) as client:
        yield client


def app_of(
    directory: Path, runner: ScriptedRunner, environ: Mapping[str, str] = KEYS, **settings: Any
) -> Starlette:
    """The gateway's app with trainings in `directory`."""
    given = {"dir": directory, "corpora": ["shared"], "unfinished": 2, "kept": 3, "files": 4, **settings}
    corrections = {"dir": directory / "corrections"}
    args = ServiceArgs.model_validate(
        {"trainings": {"upload_bytes": 20_000, **given}, "corrections": corrections}
    )
    service, policy = TrainingService(args, runner), AccessPolicy.of(args, environ)
    routes = [*TrainingApi(service, policy).routes, *FineTuningApi(service, policy).routes]
    api = Api(StuckTranscriber(), args, ModelCatalog(args, policy), routes)
    return gateway_app.build(
        ScriptedDirectory(), args, routes=api.routes, running=api.running, environ=environ
    )


@contextmanager
def client_of(directory: Path, **settings: Any) -> Iterator[TestClient]:
    """A client with a key of the app with these settings."""
    app, headers = app_of(directory, ScriptedRunner(), **settings), {"Authorization": "Bearer mine"}
    with TestClient(app, base_url="http://127.0.0.1", headers=headers) as client:
        yield client


def submit(
    client: TestClient,
    data: bytes | None = DATA,
    keys: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx2.Response:
    files = {"data": ("mine.tar.gz", data)} if data is not None else {"": ("", b"")}
    return client.post(URL, data={"kind": "finetune", **(keys or {})}, files=files, headers=headers)


def folder_of(client: TestClient, id: str, tmp_path: Path) -> TrainingFolder:
    folder = TrainingStore(tmp_path).find(id)
    assert folder
    return folder


def finished(folder: TrainingFolder) -> None:
    """As a supervisor and its job leave it."""
    (folder.out / "model").mkdir(parents=True)
    (folder.out / "model" / "weights").write_bytes(b"w" * 100_000)
    (folder.out / "result.json").write_text('{"steps": 2, "model": "/srv/out/model"}')
    (folder.out / "report.html").write_text("<p>good</p>")
    (folder.out / "clips.json").write_text(json.dumps(CLIPS))
    (folder.path / "exports").mkdir()
    (folder.path / "exports" / "ggml").mkdir()  # as an export leaves it that does not pass
    (folder.path / "exports" / "ggml.error").write_text("it lost 3 points.\n")
    folder.write_state(folder.state.started(1.0).ended(TrainingStatus.SUCCEEDED, 61.0))


def test_what_is_submitted_is_unpacked_started_and_shown(
    client: TestClient, runner: ScriptedRunner, tmp_path: Path
) -> None:
    answer = submit(client, keys={"max_steps": "2", "plan.batch_s": "8"})

    training = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{URL}/{training['id']}"
    assert (training["status"], training["model"]) == ("queued", "tiny.en")
    assert training["progress"] == "queued: waiting for 1 CPU to be free"
    assert "tensorboard_url" not in training
    assert training["keys"] == {"max_steps": "2", "plan.batch_s": "8"}
    assert runner.started == [training["id"]]
    folder = folder_of(client, training["id"], tmp_path)
    assert (folder.data / "a.wav").read_bytes() == b"sound"
    assert client.get(f"{URL}/{training['id']}").json() == training
    offered = {"models": ["tiny.en", "tiny.en@stock"], "corpora": ["shared"]}
    assert client.get(URL).json() == {"object": "list", "data": [training], **offered}


def test_clips_that_were_corrected_with_a_key_are_a_corpus_of_it_alone(
    client: TestClient, tmp_path: Path
) -> None:
    store = CorrectionStore(CorrectionSettings(dir=tmp_path / "corrections"))
    owner = AccessPolicy.of(ServiceArgs(), KEYS).owner("mine")
    store.enable(owner, enabled=True)
    add(store, "spoken", 0.5, owner=owner)
    asked = {"kind": (None, "finetune"), "corpus": (None, "corrections")}
    assert client.post(URL, files=asked).status_code == 400  # nothing is corrected
    store.correct(owner, store.pending(owner, 1)[0].id, "spoken")

    others = {"Authorization": "Bearer yours"}
    assert client.get(URL).json()["corpora"] == ["corrections", "shared"]
    assert client.get(URL, headers=others).json()["corpora"] == ["shared"]
    assert client.post(URL, files=asked).json()["corpus"] == str(store.corpus(owner))
    refused = client.post(URL, files=asked, headers=others).json()["error"]["message"]
    assert refused == "corpus: expected one of shared, got 'corrections'."


def test_a_corpus_of_the_server_needs_no_data(client: TestClient, tmp_path: Path) -> None:
    training = client.post(URL, files={"kind": (None, "adapt"), "corpus": (None, "shared")}).json()

    assert training["corpus"] == "shared"
    assert not folder_of(client, training["id"], tmp_path).data.exists()


@pytest.mark.parametrize(
    ("fields", "data", "status", "message"),
    [
        ({"kind": "dance"}, DATA, 400, "kind: expected finetune, adapt or distil, got 'dance'."),
        ({"model": "/etc"}, DATA, 400, "model: expected one of tiny.en, tiny.en@stock, got '/etc'."),
        ({"corpus": "/etc"}, None, 400, "corpus: expected one of shared, got '/etc'."),
        ({"corpus": "shared"}, DATA, 400, "data: expected data or corpus, got both."),
        ({}, None, 400, "data: expected data or corpus, got neither."),
        ({"--config": "x"}, DATA, 400, "expected keys such as max_steps, got '--config'."),
        ({"steps": "2"}, DATA, 400, "training: unknown key 'steps'."),
        ({}, b"none", 400, "data: expected a whole tar.gz or zip, got another file"),
        ({}, zipped({"../a.wav": b"1"}), 400, "data: expected paths inside the archive's folder"),
        ({}, tar({f"{i}.wav": b"" for i in range(9)}), 400, "data: expected an archive of at most 4 files"),
        ({}, bytes(30_000), 413, "file: expected a body of at most 20000 bytes"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_and_leaves_nothing(
    fields: dict[str, str],
    data: bytes | None,
    status: int,
    message: str,
    client: TestClient,
    runner: ScriptedRunner,
    tmp_path: Path,
) -> None:
    form = {name: (None, value) for name, value in {"kind": "finetune", **fields}.items()}
    answer = client.post(URL, files=form | ({"data": ("a", data)} if data is not None else {}))

    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"].startswith(message)
    assert not list(tmp_path.iterdir())
    assert not runner.started


def test_a_key_sees_only_its_own_trainings(client: TestClient) -> None:
    id = submit(client).json()["id"]
    other = {"Authorization": "Bearer yours"}

    assert client.get(URL, headers=other).json()["data"] == []
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/events")]:
        answer = client.request(method, f"{URL}/{id}{path}", headers=other)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert client.get(f"{URL}/{id}", headers={"Authorization": "Bearer none"}).status_code == 401
    assert client.get(f"{URL}/{id}").status_code == 200


def test_a_key_has_a_quota_of_unfinished_trainings_and_of_all(client: TestClient, tmp_path: Path) -> None:
    ids = [submit(client).json()["id"] for _ in range(2)]
    answer = submit(client)
    assert answer.status_code == 429
    assert answer.json()["error"]["message"].startswith("expected at most 2 unfinished trainings of a key")
    assert submit(client, data=None).status_code == 429
    assert client.post(URL, headers={"Authorization": "Bearer yours"}).status_code != 429

    client.post(f"{URL}/{ids[0]}/cancel")
    ids.append(submit(client).json()["id"])
    client.post(f"{URL}/{ids[1]}/cancel")
    assert submit(client).json()["error"]["message"].startswith("expected at most 3 trainings of a key")

    client.delete(f"{URL}/{ids[0]}")
    assert submit(client).status_code == 201


def test_a_key_has_a_quota_of_bytes(tmp_path: Path) -> None:
    with client_of(tmp_path, stored_bytes=600) as client:
        id = submit(client).json()["id"]
        upload: dict[str, Any] = {
            "files": {"file": ("mine.tar.gz", bytes(600))},
            "data": {"purpose": "fine-tune"},
        }
        file = client.post("/v1/files", **upload).json()["id"]
        answers = [submit(client), submit(client, data=None), client.post("/v1/files", **upload)]

        assert [answer.status_code for answer in answers] == [429, 429, 429]
        error = answers[0].json()["error"]
        assert error["code"] == "quota_exceeded"
        assert error["message"].startswith(
            "expected less than 600 bytes in a key's trainings and files, got "
        )
        assert submit(client, headers={"Authorization": "Bearer yours"}).status_code == 201

        client.delete(f"/v1/files/{file}")
        assert submit(client).status_code == 201
        folder_of(client, id, tmp_path).log.write_bytes(bytes(600))
        assert client.post("/v1/files", **upload).status_code == 429


def test_a_training_names_its_run_in_the_operators_tensorboard(tmp_path: Path) -> None:
    with client_of(tmp_path, tensorboard_url="https://boards.example.com/tb/") as client:
        training = submit(client).json()

    assert training["tensorboard_url"] == (
        f"https://boards.example.com/tb/?runFilter={training['id']}#timeseries"
    )


def test_cancelling_stops_and_deleting_removes(
    client: TestClient, runner: ScriptedRunner, tmp_path: Path
) -> None:
    id = submit(client).json()["id"]

    assert client.post(f"{URL}/{id}/cancel").json()["status"] == "cancelled"
    assert runner.stopped == [id]
    assert client.delete(f"{URL}/{id}").json() == {"id": id, "object": "training.deleted", "deleted": True}

    assert not list(tmp_path.iterdir())
    assert client.get(f"{URL}/{id}").status_code == 404


def test_events_come_with_each_change_until_the_end(client: TestClient, tmp_path: Path) -> None:
    id = submit(client).json()["id"]
    folder = folder_of(client, id, tmp_path)
    statuses = list[str]()

    finished(folder)
    with client.stream("GET", f"{URL}/{id}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                statuses.append(json.loads(line.removeprefix("data: "))["status"])

    assert statuses == ["succeeded"]


def test_the_model_comes_as_an_archive_in_the_formats_that_passed(client: TestClient, tmp_path: Path) -> None:
    id = submit(client).json()["id"]
    early = client.get(f"{URL}/{id}/model")
    assert early.status_code == 409
    assert client.get(f"{URL}/{id}/clips").status_code == 409
    assert (
        early.json()["error"]["message"] == "expected a training that has succeeded, got one that is queued."
    )
    finished(folder_of(client, id, tmp_path))

    training = client.get(f"{URL}/{id}").json()
    assert (training["formats"], training["result"], training["node_s"]) == (["hf"], {"steps": 2}, 60.0)
    with tarfile.open(fileobj=io.BytesIO(client.get(f"{URL}/{id}/model").content), mode="r:gz") as archive:
        assert archive.getnames() == [f"{id}-hf/weights"]
    failed = client.get(f"{URL}/{id}/model?format=ggml").json()["error"]["message"]
    assert failed == "format: expected hf, got 'ggml': it lost 3 points."
    unknown = client.get(f"{URL}/{id}/model?format=exe").json()["error"]["message"]
    assert unknown == "format: expected hf, ct2 or ggml, got 'exe'."
    report = client.get(f"{URL}/{id}/report")
    assert report.text == "<p>good</p>"
    assert report.headers["content-security-policy"].startswith("sandbox")
    assert client.get(f"{URL}/{id}/clips").json() == CLIPS


def test_what_is_unfinished_after_a_restart_is_started_again(
    client: TestClient, runner: ScriptedRunner, tmp_path: Path
) -> None:
    first, second = (submit(client).json()["id"] for _ in range(2))
    finished(folder_of(client, first, tmp_path))
    runner.started.clear()
    args = ServiceArgs.model_validate({"trainings": {"dir": tmp_path}})

    asyncio.run(TrainingService(args, runner).keep_running())

    assert runner.started == [second]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", "", "GET, POST"), ("PUT", "/train-1", "DELETE, GET"), ("GET", "/train-1/cancel", "POST")],
)
def test_a_wrong_method_is_told_the_right_ones(
    method: str, path: str, allowed: str, client: TestClient
) -> None:
    answer = client.request(method, f"{URL}{path}")

    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_the_manual_has_trainings_only_where_there_are_some(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    args = ServiceArgs()
    without: Any = Api(StuckTranscriber(), args, ModelCatalog(args, AccessPolicy.of(args, {})))

    below = ("", "/cancel", "/clips", "/events", "/model", "/report")
    assert {p for p in schema["paths"] if p.startswith(URL)} == {URL, *(f"{URL}/{{id}}{p}" for p in below)}
    assert set(re.findall(r"#/components/schemas/(\w+)", json.dumps(schema))) <= set(
        schema["components"]["schemas"]
    )
    assert "Train a model on an audio folder" in client.get("/docs").text
    assert not any(route.path.startswith(URL) for route in without.routes)
