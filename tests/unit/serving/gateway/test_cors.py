"""Pages of other origins, and the API: behind the whole app's middleware."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from tests.unit.serving.gateway.scripted import ScriptedDirectory

from voxray.serving.gateway import app as gateway_app
from voxray.serving.settings import Access, ServiceArgs

PAGE = "https://app.example.com"
KEY = {"Authorization": "Bearer k1"}
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, x-stainless-os",
}


def client(*origins: str) -> TestClient:
    async def hello(request: object) -> PlainTextResponse:
        return PlainTextResponse("hello")

    app: Starlette = gateway_app.build(
        ScriptedDirectory(),
        ServiceArgs(access=Access(allowed_origins=origins)),
        routes=[Route("/v1/models", hello)],
        environ={"VOXRAY_API_KEYS": "k1"},
    )
    return TestClient(app, base_url="http://localhost:8000")


def test_a_page_that_is_allowed_reads_answers() -> None:
    answer = client(PAGE).get("/v1/models", headers={"Origin": PAGE, **KEY})

    assert answer.text == "hello"
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "Origin" in answer.headers["vary"]
    assert "access-control-allow-credentials" not in answer.headers


def test_it_reads_refusals_too() -> None:
    answer = client(PAGE).get("/v1/models", headers={"Origin": PAGE})

    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == PAGE


def test_its_browser_may_ask_without_a_key_what_it_may_send() -> None:
    answer = client(PAGE).options("/v1/models", headers={"Origin": PAGE, **PREFLIGHT})

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-headers"] == PREFLIGHT["Access-Control-Request-Headers"]
    assert answer.headers["access-control-allow-methods"] == "GET, POST, DELETE"


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": PAGE, "Host": "evil.example"}]
)
def test_other_pages_and_hosts_get_403_as_before(headers: dict[str, str]) -> None:
    for answer in (
        client(PAGE).get("/v1/models", headers={**headers, **KEY}),
        client(PAGE).options("/v1/models", headers={**headers, **PREFLIGHT}),
    ):
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_what_is_not_of_the_api_stays_with_its_own_page() -> None:
    answer = client(PAGE).get("/", headers={"Origin": PAGE})

    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", [None, "http://localhost:8000"])
def test_without_a_foreign_page_nothing_changes(origin: str | None) -> None:
    headers = {**KEY, **({"Origin": origin} if origin else {})}
    for service in (client(), client(PAGE)):
        answer = service.get("/v1/models", headers=headers)

        assert answer.text == "hello"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers
