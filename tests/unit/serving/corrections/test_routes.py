"""The routes behind the gateway's own checks."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.unit.serving.corrections.test_store import add
from tests.unit.serving.gateway.scripted import ScriptedDirectory
from tests.unit.serving.rest.test_routes import StuckTranscriber

from voxray.serving.corrections.routes import CorrectionApi
from voxray.serving.corrections.store import CorrectionStore
from voxray.serving.gateway import app as gateway_app
from voxray.serving.gateway.auth import AccessPolicy
from voxray.serving.model_catalog import ModelCatalog
from voxray.serving.rest.routes import Api
from voxray.serving.settings import ServiceArgs

KEYS = {"VOXRAY_API_KEYS": "mine,yours"}
URL = "/v1/corrections"


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(ServiceArgs.model_validate({"corrections": {"dir": tmp_path}}).corrections)


def app_of(store: CorrectionStore) -> Starlette:
    """The gateway's app with the clips in `store`."""
    args = ServiceArgs(corrections=store.settings)
    policy = AccessPolicy.of(args, KEYS)
    routes = CorrectionApi(store, policy).routes
    api = Api(StuckTranscriber(), args, ModelCatalog(args, policy), corrections=routes)
    return gateway_app.build(ScriptedDirectory(), args, routes=api.routes, running=api.running, environ=KEYS)


@pytest.fixture
def client(store: CorrectionStore) -> Iterator[TestClient]:
    headers = {"Authorization": "Bearer mine"}
    with TestClient(app_of(store), base_url="http://127.0.0.1", headers=headers) as client:
        yield client


def owner(key: str = "mine") -> str:
    return AccessPolicy.of(ServiceArgs(), KEYS).owner(key)


def test_a_key_opts_in_hears_corrects_and_has_a_corpus(client: TestClient, store: CorrectionStore) -> None:
    assert client.get(URL).json()["enabled"] is False
    assert client.post(URL, json={"enabled": True}).json()["enabled"] is True
    add(store, "turn of", 0.5, owner=owner())
    (clip,) = client.get(URL).json()["data"]
    assert (clip["text"], clip["confidence"], clip["duration_s"]) == ("turn of", 0.5, 1.0)

    audio = client.get(f"{URL}/{clip['id']}/audio")
    assert (audio.headers["content-type"], audio.content[:4]) == ("audio/flac", b"fLaC")
    assert client.post(f"{URL}/{clip['id']}", json={"text": " turn\noff "}).status_code == 200

    after = client.get(URL).json()
    assert (after["pending"], after["corrected"]) == (0, 1)
    assert [f.read_text() for f in Path(after["corpus"]).glob("*.txt")] == ["turn off\n"]


def test_what_is_deleted_is_gone(client: TestClient, store: CorrectionStore, tmp_path: Path) -> None:
    store.enable(owner(), enabled=True)
    for text in ("a", "b"):
        add(store, text, 0.5, owner=owner())
    first, _ = client.get(URL).json()["data"]

    assert client.delete(f"{URL}/{first['id']}").status_code == 200
    assert client.get(URL).json()["pending"] == 1
    assert client.delete(URL).json()["pending"] == 0
    assert not list(tmp_path.iterdir())


def test_a_key_finds_only_its_own_clips(client: TestClient, store: CorrectionStore) -> None:
    store.enable(owner("yours"), enabled=True)
    add(store, "secret", 0.5, owner=owner("yours"))
    (clip,) = store.pending(owner("yours"), 9)

    assert client.get(URL).json()["data"] == []
    for method, path in [("GET", "/audio"), ("POST", ""), ("DELETE", "")]:
        answer = client.request(method, f"{URL}/{clip.id}{path}", content=json.dumps({"text": "x"}))
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert client.get(URL, headers={"Authorization": "Bearer none"}).status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("", '{"enabled": "yes"}', "enabled: expected true or false, got neither."),
        ("", "", "enabled: expected true or false, got neither."),
        ("/x", '{"text": "  "}', "text: expected a text, got none."),
        ("/x", "[]", "text: expected a text, got none."),
    ],
)
def test_a_wrong_body_is_refused(path: str, body: str, message: str, client: TestClient) -> None:
    answer = client.post(f"{URL}{path}", content=body)

    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)


def test_the_manual_has_corrections_where_finals_are_recorded(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()

    assert {p for p in schema["paths"] if p.startswith(URL)} == {URL, f"{URL}/{{id}}", f"{URL}/{{id}}/audio"}
    references = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(schema)))
    assert references <= set(schema["components"]["schemas"])
    assert "Get the audio of a clip to correct" in client.get("/docs").text


def test_there_is_a_page_where_finals_are_recorded(client: TestClient) -> None:
    assert "Correct what was recognised" in client.get("/corrections").text
    assert client.get("/trainings").status_code == 404
