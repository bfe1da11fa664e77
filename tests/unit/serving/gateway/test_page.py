from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from voxray.serving.gateway.page import HEADERS, TYPES, HeadersMiddleware, page_routes


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    folder = tmp_path / "page"
    (folder / "parts").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "main.js").write_text("export {}")
    (folder / "parts" / "a.css").write_text("a {}")
    (folder / "notes.txt").write_text("not of the page")
    (tmp_path / "secret.js").write_text("secret")
    routes = [*page_routes(folder)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(HeadersMiddleware)]))


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("/", "<!doctype html>", ".html"),
        ("/assets/main.js", "export {}", ".js"),
        ("/assets/parts/a.css", "a {}", ".css"),
    ],
)
def test_files_come_with_their_types_and_safe_headers(
    client: TestClient, path: str, text: str, kind: str
) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, text, TYPES[kind])
    assert all(answer.headers[name] == value for name, value in HEADERS.items())


@pytest.mark.parametrize(
    "path",
    [
        *("/assets/", "/assets/parts", "/assets/parts/", "/assets/notes.txt", "/assets/nothing.js"),
        *("/assets/../secret.js", "/assets/%2e%2e/secret.js", "/assets/..%2fsecret.js", "/assets//main.js"),
    ],
)
def test_nothing_else_comes_and_nothing_is_listed(client: TestClient, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_a_file_that_has_not_changed_is_not_sent_again(client: TestClient) -> None:
    tag = client.get("/assets/main.js").headers["etag"]
    again = client.get("/assets/main.js", headers={"If-None-Match": tag})

    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/assets/main.js", headers={"If-None-Match": '"other"'}).status_code == 200


def test_only_reading_is_answered(client: TestClient) -> None:
    assert client.post("/assets/main.js").status_code == 405


def test_every_file_of_the_page_has_a_type(assets: Path) -> None:
    page = assets / "page"

    assert not [f.name for f in page.rglob("*") if f.is_file() and f.suffix not in TYPES]
    assert TestClient(Starlette(routes=[*page_routes()])).get("/").status_code == 200


def test_the_pages_that_there_are_have_links_to_one_another() -> None:
    alone = TestClient(Starlette(routes=[*page_routes()]))
    assert "<nav" not in alone.get("/").text
    client = TestClient(Starlette(routes=[*page_routes(names=["corrections"])]))

    links = '<a href="./" aria-current="page">Live</a> <a href="corrections">Corrections</a>'
    assert links in client.get("/").text
    assert '<a href="corrections" aria-current="page">' in client.get("/corrections").text
    assert client.get("/trainings").status_code == 404
