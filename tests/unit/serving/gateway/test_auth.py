import base64
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from voxray.errors import ConfigError
from voxray.serving.gateway.auth import AccessPolicy, AuthMiddleware, bearer_key, is_loopback, subprotocol_key
from voxray.serving.settings import Access, ServiceArgs

OWN = "localhost:8000"


def policy(keys: str = "", host: str = "127.0.0.1", **access: object) -> AccessPolicy:
    args = ServiceArgs(host=host, access=Access.model_validate(access))
    return AccessPolicy.of(args, {"VOXRAY_API_KEYS": keys})


def headers(host: str = OWN, origin: str | None = None) -> Headers:
    return Headers({"host": host} | ({"origin": origin} if origin is not None else {}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_keys(host: str) -> None:
    assert is_loopback(host)
    assert policy(host=host).admits(None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "voice.example.com"])
def test_other_hosts_need_keys_or_leave(host: str) -> None:
    with pytest.raises(ConfigError, match=r"expected keys .* without"):
        policy(host=host)

    assert policy(host=host, allow_anonymous=True).admits(None)
    assert not policy("k1", host=host).admits(None)


def test_nobody_is_recorded_where_anybody_may_connect(tmp_path: Path) -> None:
    args = ServiceArgs.model_validate(
        {"host": "0.0.0.0", "access": {"allow_anonymous": True}, "corrections": {"dir": tmp_path}}
    )

    with pytest.raises(ConfigError, match=r"corrections\.dir: expected keys"):
        AccessPolicy.of(args, {})
    assert AccessPolicy.of(args, {"VOXRAY_API_KEYS": "k1"}).admits("k1")


def test_keys_come_from_the_environment_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("k3\n\n  k4  \n")
    found = policy("k1, k2,", keys_file=file)

    assert all(found.admits(f"k{i}") for i in range(1, 5))
    assert not any(found.admits(k) for k in (None, "", "k", "k5", "k1, k2", "K1", "k1 ", "ключ", "\udcff"))


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_file_without_keys_opens_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)

    with pytest.raises(ConfigError, match="got none in"):
        policy(keys_file=file)


def test_a_file_that_is_not_there_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        policy(keys_file=tmp_path / "keys")


@pytest.mark.parametrize("key", ["with two spaces", "ключ", "x" * 513])
def test_a_key_that_no_client_could_send_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigError, match="another one as key 1") as e:
        policy(key)

    assert key not in str(e.value)


def test_a_model_behind_a_key_is_the_default_of_its_clients(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("k1 tiny.en\n k2\n")
    found = policy("k3  tiny.en", keys_file=file)

    assert [found.default_model(key) for key in ("k1", "k2", "k3", None)] == [
        "tiny.en",
        None,
        "tiny.en",
        None,
    ]
    assert all(map(found.admits, ("k1", "k2", "k3")))
    assert not found.admits("k1 tiny.en")
    with pytest.raises(ConfigError, match=r"nothing, or one of tiny\.en, got another word") as e:
        policy("with space")
    assert "space" not in str(e.value)


def test_a_key_in_a_header() -> None:
    assert bearer_key(Headers({"authorization": "Bearer k1"})) == "k1"
    assert bearer_key(Headers({"authorization": "bearer  k1 "})) == "k1"
    assert bearer_key(Headers({"authorization": "Basic k1"})) is None
    assert bearer_key(Headers({})) is None


@pytest.mark.parametrize("key", ["k", "k1", "k12", "~~~???>>>"])
def test_a_key_in_a_subprotocol_with_or_without_padding(key: str) -> None:
    code = base64.urlsafe_b64encode(key.encode()).decode()

    assert subprotocol_key(["voxray.v1", f"voxray.key.{code.rstrip('=')}"]) == key
    assert subprotocol_key([f"voxray.key.{code}"]) == key


def test_a_subprotocol_that_is_no_base64_is_no_key() -> None:
    assert subprotocol_key(["voxray.v1"]) is None
    assert subprotocol_key(["voxray.key.", "voxray.v1"]) == ""
    assert subprotocol_key(["voxray.key.!!!"]) == ""
    assert subprotocol_key(["voxray.key.a"]) == ""


@pytest.mark.parametrize("host", [OWN, "127.0.0.1", "LOCALHOST", "[::1]:8000"])
def test_own_hosts_pass(host: str) -> None:
    assert policy().violation(headers(host)) is None


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        ("voxray.example.com:8443", "voxray.example.com:8443"),
        ("voxray.example.com:8443", "voxray.example.com"),
        ("Voxray.Example.com", "voxray.example.com:8443"),
        ("[fd00::1]:8000", "[fd00::1]"),
        ("fd00:0::1", "[fd00::1]:80"),
    ],
)
def test_an_allowed_host_is_meant_with_any_port(allowed: str, host: str) -> None:
    assert policy(allowed_hosts=(allowed,)).violation(headers(host)) is None


@pytest.mark.parametrize("allowed", ["https://voxray.example.com", "*.example.com", "a b", "", "host:port"])
def test_what_cannot_be_a_host_is_reported_at_the_start(allowed: str) -> None:
    with pytest.raises(ConfigError, match=r"access\.allowed_hosts: expected names"):
        policy(allowed_hosts=(allowed,))


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "localhost@evil.example", "evil@localhost", "", "a b"]
)
def test_a_name_that_an_attacker_points_here_does_not_pass(host: str) -> None:
    assert "expected one of access.allowed_hosts" in str(policy().violation(headers(host)))


def test_two_hosts_are_none() -> None:
    assert policy().violation(Headers(raw=[(b"host", b"localhost"), (b"host", b"localhost")]))
    assert policy().violation(Headers({}))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, OWN),
        ("http://localhost:8000", OWN),
        ("https://localhost", "localhost"),  # TLS ends before us
        ("https://localhost:443", "localhost"),
        ("http://localhost", "localhost:80"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("https://app.example.com", OWN),
    ],
)
def test_own_and_allowed_origins_pass(origin: str | None, host: str) -> None:
    assert policy(allowed_origins=("https://App.example.com/",)).violation(headers(host, origin)) is None


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://localhost:3000", "http://127.0.0.1:8000", "null", "", "http://[", "x:y"],
)
def test_other_pages_do_not_pass(origin: str) -> None:
    assert "expected this server's own" in str(policy().violation(headers(OWN, origin)))


def client(keys: str = "k1") -> TestClient:
    async def hello(request: object) -> PlainTextResponse:
        return PlainTextResponse("hello")

    routes = [Route(path, hello) for path in ("/", "/v1/models", "/healthz")]
    app = Starlette(routes=routes, middleware=[Middleware(AuthMiddleware, policy=policy(keys))])
    return TestClient(app, base_url="http://localhost:8000")


def test_requests_below_v1_need_a_key() -> None:
    refused = client().get("/v1/models")

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert client().get("/v1/models", headers={"Authorization": "Bearer k2"}).status_code == 401
    assert client().get("/v1/models", headers={"Authorization": "Bearer k1"}).text == "hello"
    assert client("").get("/v1/models").text == "hello"
    assert client().get("/").text == client().get("/healthz").text == "hello"


def test_foreign_pages_and_names_get_403() -> None:
    assert client().get("/", headers={"Origin": "http://evil.example"}).status_code == 403
    assert client().get("/", headers={"Host": "evil.example"}).status_code == 403
