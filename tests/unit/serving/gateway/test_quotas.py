"""Keys with quotas: each protocol's own error where one is exceeded, and no other key notices."""

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from tests.unit.serving.gateway.scripted import ScriptedDirectory
from tests.unit.serving.gateway.test_app import SECOND, Clock, run, serving, until
from tests.unit.serving.gateway.test_auth import policy
from tests.unit.serving.gateway.test_upgrades import LISTEN, REALTIME, refusal, told

from voxray.errors import ConfigError
from voxray.serving.gateway import app as gateway_app
from voxray.serving.gateway.quotas import KeyUsages
from voxray.serving.settings import ServiceArgs
from voxray.wire import Ack, Close, Done, Final

DAY_S = 86_400.0
HOUR = "k1 name=acme audio_s_per_day=3600"


def access(folder: Path, *lines: str, **values: Any) -> dict[str, Any]:
    """With a file of keys."""
    file = folder / "keys"
    file.write_text("\n".join(lines))
    return {"keys_file": str(file), **values}


def ack(processed_s: float) -> Ack:
    return Ack(2, 0, 0, processed_s, 0.0)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


# Keys.


def test_a_key_has_the_options_of_its_line_and_else_those_of_all(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("k1== tiny.en name=acme sessions=2\nk2\n")
    found = policy("k3", keys_file=file, quota={"sessions": 9, "requests_per_min": 60})
    own, unnamed, from_environment = map(found.find, ("k1==", "k2", "k3"))

    assert own
    assert unnamed
    assert from_environment
    assert (own.name, own.model) == ("acme", "tiny.en")
    assert (own.quota.sessions, own.quota.requests_per_min) == (2, 60)
    assert (unnamed.quota.sessions, from_environment.quota.sessions) == (9, 9)
    assert len({own.name, unnamed.name, from_environment.name}) == 3
    assert found.find("acme") is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("k1 session=2", "got another one as key 1"),
        ("k1 secret words", "got another one as key 1"),
        ("k1 sessions=0", "'sessions': .* greater than or equal to 1"),
        ("k1 name=a/b", "'name': "),
        ("k1 audio_s_per_day=much", "'audio_s_per_day': .* valid number"),
    ],
)
def test_a_line_that_is_wrong_is_reported_without_its_key(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as e:
        policy(keys_file=access(tmp_path, line)["keys_file"])

    assert "secret" not in str(e.value)
    assert "k1" not in str(e.value)


# Sessions at once.


def test_a_key_has_only_so_many_sessions_and_no_other_key_notices(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(access=access(tmp_path, "k1 sessions=1", "k2")) as service:
            async with service.client(start={"api_key": "k1"}) as first:
                await first.next("ready")
                async with service.client(start={"api_key": "k1"}) as second:
                    assert await second.closed() == Close.BAD_MESSAGE
                    assert second.error == "quota_exceeded"
                async with service.client(start={"api_key": "k2"}) as other:
                    await other.next("ready")
            await until(lambda: not service.gateway.connections)
            async with service.client(start={"api_key": "k1"}) as again:
                await again.next("ready")

    run(test)


def test_a_session_is_resumed_while_its_old_connection_still_counts(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            serving(access=access(tmp_path, "k1 sessions=1")) as service,
            service.client(start={"api_key": "k1"}) as old,
        ):
            ready = await old.next("ready")
            again = {key: ready[key] for key in ("session", "resume_token")} | {"api_key": "k1"}
            async with service.client(start=again) as new:
                assert (await new.next("ready"))["resumed"]
                assert await old.closed() == Close.RESUMED_ELSEWHERE
            async with service.client(start={**again, "session": f"1.{'0' * 32}"}) as stranger:
                await until(lambda: service.gateway.connections == 1)
                await stranger.next("ready")

    run(test)


@pytest.mark.parametrize(
    ("path", "header", "code"),
    [
        (REALTIME, "Bearer k1", ("error", "code", "quota_exceeded")),
        (LISTEN, "Token k1", ("err_code", "TOO_MANY_REQUESTS")),
    ],
)
def test_other_services_clients_are_refused_with_429(
    tmp_path: Path, path: str, header: str, code: tuple[str, ...]
) -> None:
    async def test() -> None:
        async with serving(access=access(tmp_path, "k1 sessions=1")) as service:
            headers = {"Authorization": header}
            async with service.client(start={"api_key": "k1"}) as first:
                await first.next("ready")
                status, body = await refusal(service.connect(path, additional_headers=headers))
        *keys, expected = code
        value: Any = body
        for key in keys:
            value = value[key]
        assert (status, value) == (429, expected)

    run(test)


# Audio.


def test_a_session_over_its_quota_gets_its_finals_and_the_next_one_is_refused_until_it_refills(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with serving(access=access(tmp_path, HOUR, "k2")) as service:
            async with service.client(start={"api_key": "k1"}) as client:
                session = (await client.next("ready"))["session"]
                await client.send(SECOND)
                service.host.sessions[session].say(ack(3_599.0))
                await client.next("ack")
                service.host.sessions[session].say(ack(3_601.0))

                assert await client.closed() == Close.BAD_MESSAGE
                assert client.kinds[-3:] == ["final", "done", "error"]
                assert client.error == "quota_exceeded"
            async with service.client(start={"api_key": "k1"}) as refused:
                assert (await refused.closed(), refused.error) == (Close.BAD_MESSAGE, "quota_exceeded")
            async with service.client(start={"api_key": "k2"}) as other:
                await other.next("ready")
            service.clock.now_s += DAY_S / 3600 * 2
            async with service.client(start={"api_key": "k1"}) as again:
                await again.next("ready")

    run(test)


def test_a_realtime_client_over_its_quota_gets_an_error_of_openais_kind(tmp_path: Path) -> None:
    async def test() -> None:
        headers = {"Authorization": "Bearer k1"}
        async with (
            serving(access=access(tmp_path, HOUR)) as service,
            service.connect(REALTIME, additional_headers=headers) as connection,
        ):
            await connection.send(json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA"}))
            await until(lambda: service.host.sessions)
            (session,) = service.host.sessions.values()
            session.say(ack(3_601.0))
            error = (await told(connection, "error"))["error"]

            assert (error["type"], error["code"]) == ("rate_limit_error", "quota_exceeded")

    run(test)


def test_audio_that_was_there_before_a_resume_counts_once() -> None:
    key = KeyUsages(policy("k1", quota={"audio_s_per_day": 100}), Clock()).of("k1")
    before, after = key.begin_session(resumed=False), key.begin_session(resumed=True)

    assert before.processed(60.0)
    assert after.processed(61.0)
    assert after.processed(70.0)
    assert (before.audio_s, after.audio_s) == (60.0, 9.0)
    assert not after.processed(101.5)


def test_each_channel_counts_for_its_audio() -> None:
    key = KeyUsages(policy("k1", quota={"audio_s_per_day": 100}), Clock()).of("k1")
    call = key.begin_session(resumed=False, channels=2)

    assert call.processed(40.0)
    assert not call.processed(60.0)
    assert call.audio_s == 120.0


# REST.


def rest(args: ServiceArgs, clock: Clock) -> TestClient:
    """A gateway with a route that decodes 90 s of audio."""

    def decode(request: Request) -> PlainTextResponse:
        request.state.usage.charge(90.0)
        return PlainTextResponse("text of a caller")

    routes = [Route("/v1/audio/transcriptions", decode, methods=["POST"])]
    app = gateway_app.build(ScriptedDirectory(), args, routes=routes, environ={}, clock=clock)
    return TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": "Bearer k1"})


def test_requests_over_a_quota_are_429_until_it_refills(tmp_path: Path) -> None:
    clock = Clock()
    keys = access(tmp_path, "k1 requests_per_min=3 audio_s_per_day=100")
    with rest(ServiceArgs.model_validate({"access": keys}), clock) as client:
        asked = [client.post("/v1/audio/transcriptions") for _ in range(4)]
        clock.now_s += DAY_S
        again = client.post("/v1/audio/transcriptions")

    assert [a.status_code for a in asked] == [200, 200, 429, 429]  # the second one was a little over
    assert [a.json()["error"]["code"] for a in asked[2:]] == ["quota_exceeded", "rate_limit_exceeded"]
    assert asked[3].headers["retry-after"]
    assert again.status_code == 200


# Audit.


def test_the_audit_says_who_and_how_long_and_not_what(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    options = access(tmp_path, "k1 name=acme", audit_log=str(audit))

    async def test() -> None:
        async with serving(access=options) as service:
            async with service.client(start={"api_key": "k1", "prompt": "a secret"}) as client:
                session = (await client.next("ready"))["session"]
                service.clock.now_s += 2.5
                said = service.host.sessions[session]
                said.say(Final(0, 0.0, 1.0, "what was said"), Done(12.25, 1))
                said.close = Close.NORMAL
                assert await client.closed() == Close.NORMAL
            async with service.client(start={"api_key": "wrong"}) as refused:
                assert await refused.closed() == Close.NOT_ALLOWED
            await until(lambda: len(lines(audit)) == 2)
        served, stranger = lines(audit)

        assert served.pop("at") <= stranger.pop("at")
        assert served == {
            "event": "connection",
            "key": "acme",
            "session": session,
            "seconds": 2.5,
            "audio_s": 12.25,
            "code": 1000,
            "reason": "",
        }
        assert (stranger["key"], stranger["session"], stranger["code"]) == (None, None, Close.NOT_ALLOWED)

    run(test)
    text = audit.read_text()
    assert not any(word in text for word in ("said", "secret", "k1", "wrong"))


def test_the_audit_has_requests_too(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    options = access(tmp_path, "k1 name=acme", audit_log=str(audit))
    with rest(ServiceArgs.model_validate({"access": options}), Clock()) as client:
        client.post("/v1/audio/transcriptions")
        client.get("/healthz")
    (line,) = lines(audit)

    assert (line["event"], line["key"], line["status"], line["audio_s"]) == ("request", "acme", 200, 90.0)
    assert line["path"] == "/v1/audio/transcriptions"
    assert "caller" not in audit.read_text()


def test_an_audit_that_cannot_be_written_is_reported_at_the_start(tmp_path: Path) -> None:
    args = ServiceArgs.model_validate({"access": {"audit_log": str(tmp_path / "none" / "audit")}})

    with pytest.raises(ConfigError, match="audit_log: expected a file that can be written"):
        gateway_app.build(ScriptedDirectory(), args, environ={})
