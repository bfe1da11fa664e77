"""Sockets of other services' clients, over real sockets: how they begin, and how they are refused."""

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tests.service.sdks import ApiError, by_deepgram, by_openai
from tests.unit.serving.gateway.scripted import ScriptedDirectory, ScriptedHost
from tests.unit.serving.gateway.test_app import SECOND, run, serving, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from voxray.serving.client_protocols.base import Closing, Frame
from voxray.serving.client_protocols.stream import StreamProtocol
from voxray.serving.gateway.audit import AuditLog
from voxray.serving.gateway.auth import AccessPolicy
from voxray.serving.gateway.connection import Connection, ConnectionContext
from voxray.serving.gateway.host_client import HostClients, TickSchedule
from voxray.serving.gateway.metrics import Metrics
from voxray.serving.gateway.quotas import KeyUsages
from voxray.serving.model_catalog import ModelCatalog
from voxray.serving.protocol import Output, Refused
from voxray.serving.settings import Limits, ServiceArgs
from voxray.wire import Close, Final, ServerMessage

REALTIME, LISTEN = "/v1/realtime?intent=transcription", "/v1/listen?encoding=linear16&sample_rate=16000"
APPEND = json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(SECOND).decode()})
COMMIT = json.dumps({"type": "input_audio_buffer.commit"})


async def told(connection: Any, kind: str) -> dict[str, Any]:
    """The next message of this type."""
    async with asyncio.timeout(5):
        while True:
            message: dict[str, Any] = json.loads(await connection.recv())
            if message["type"] == kind:
                return message


async def refusal(connecting: Any) -> tuple[int, dict[str, Any]]:
    """The status and the body with which a socket is refused."""
    with pytest.raises(InvalidStatus) as caught:
        async with connecting:
            raise AssertionError("the socket was accepted")
    body: dict[str, Any] = json.loads(caught.value.response.body)
    return caught.value.response.status_code, body


@pytest.mark.parametrize(
    ("path", "options", "chosen"),
    [
        (REALTIME, {"additional_headers": {"Authorization": "Bearer k1"}}, None),
        (REALTIME, {"subprotocols": ["realtime", "openai-insecure-api-key.k1"]}, "realtime"),
        (LISTEN, {"additional_headers": {"Authorization": "Token k1"}}, None),
        (LISTEN, {"additional_headers": {"Authorization": "Bearer k1"}}, None),
        (LISTEN, {"subprotocols": ["token", "k1"]}, "token"),
    ],
)
def test_a_key_comes_as_their_clients_send_it(path: str, options: dict[str, Any], chosen: str | None) -> None:
    async def test() -> None:
        options["subprotocols"] = [Subprotocol(s) for s in options.get("subprotocols", [])] or None
        async with serving(keys="k1") as service, service.connect(path, **options) as connection:
            realtime: list[str | bytes] = [APPEND, COMMIT]
            deepgram: list[str | bytes] = [SECOND, '{"type": "Finalize"}']
            for frame in realtime if path is REALTIME else deepgram:
                await connection.send(frame)

            done = "conversation.item.input_audio_transcription.completed" if path is REALTIME else "Results"
            assert await told(connection, done)
            assert connection.subprotocol == chosen

    run(test)


@pytest.mark.parametrize("key", [None, "Bearer k2", "Token k2"])
def test_without_a_key_there_is_no_socket(key: str | None) -> None:
    async def test() -> None:
        headers = {"Authorization": key} if key else {}
        async with serving(keys="k1") as service:
            status, body = await refusal(service.connect(REALTIME, additional_headers=headers))
            assert (status, body["error"]["code"]) == (401, "invalid_api_key")
            assert body["error"]["message"].startswith("expected a key, got ")
            status, body = await refusal(service.connect(LISTEN, additional_headers=headers))
            assert (status, body["err_code"]) == (401, "INVALID_AUTH")
            assert body["err_msg"].startswith("expected a key, got ")
            assert not service.host.openings
            assert not service.gateway.connections

    run(test)


def test_what_is_wrong_in_the_url_is_named() -> None:
    async def test() -> None:
        async with serving() as service:
            status, body = await refusal(service.connect("/v1/realtime?model=large-v3"))
            assert (status, body["error"]["code"]) == (400, "model_not_found")
            status, body = await refusal(service.connect("/v1/listen?encoding=%C3%B6pus"))
            assert (status, body["err_code"]) == (400, "Bad Request")
            assert body["err_msg"].endswith("got 'öpus'.")

    run(test)


@pytest.mark.parametrize("path", [REALTIME, LISTEN])
def test_a_service_that_is_full_or_stops_is_tried_again_later(path: str) -> None:
    async def test() -> None:
        async with serving(connections_per_gateway=1) as service:
            async with service.connect():
                await until(lambda: service.gateway.connections == 1)
                assert (await refusal(service.connect(path)))[0] == 503
            await service.gateway.drain()
            assert (await refusal(service.connect(path)))[0] == 503

    run(test)


def test_a_session_that_no_host_has_room_for_is_an_error_of_the_protocol() -> None:
    async def test() -> None:
        host = ScriptedHost()
        host.refusal = Refused(Close.BAD_MESSAGE, "bad_message", "language: expected en, got 'de'.")
        async with serving(host) as service:
            async with service.connect(REALTIME) as connection:
                await connection.send(APPEND)
                assert (await told(connection, "error"))["error"]["code"] == "bad_message"
            async with service.connect(LISTEN) as connection:
                await connection.send(SECOND)
                assert (await told(connection, "Error"))["variant"] == "bad_message"
                with pytest.raises(ConnectionClosed):
                    await connection.recv()
                assert connection.close_code == 1008

    run(test)


def test_a_session_begins_with_the_audio_and_what_comes_before_keeps_the_socket() -> None:
    async def test() -> None:
        async with serving(limits={"start_s": 0.2}) as service, service.connect(LISTEN) as connection:
            silent = service.connect(REALTIME)
            async with silent as other:
                await told(other, "session.created")
                await connection.send('{"type": "KeepAlive"}')
                assert (await told(other, "error"))["error"]["code"] == "silent"
            assert not service.host.openings
            await connection.send(SECOND)
            await connection.send('{"type": "CloseStream"}')

            assert await told(connection, "Metadata")
            assert not service.host.openings[0].resumable

    run(test)


def test_a_host_that_is_lost_is_told_as_the_protocol_can() -> None:
    async def test() -> None:
        async with serving() as service, service.connect(REALTIME) as connection:
            await connection.send(APPEND)
            await until(lambda: service.host.sessions)
            service.host.dead = True

            assert (await told(connection, "error"))["error"]["code"] == "restart"
            with pytest.raises(ConnectionClosed):
                await connection.recv()
            assert connection.close_code == Close.RESTART

    run(test)


class FaultyProtocol(StreamProtocol):
    """A protocol with a defect."""

    def write(self, messages: Sequence[ServerMessage]) -> Sequence[Frame]:
        """Fail on finals."""
        if any(isinstance(m, Final) for m in messages):
            raise ZeroDivisionError
        return super().write(messages)


def test_a_defect_of_a_protocol_ends_one_connection_and_not_the_calls_to_its_host() -> None:
    metrics = Metrics()
    hosts = HostClients("gateway", ScriptedDirectory(), TickSchedule(), metrics)
    policy = AccessPolicy.of(ServiceArgs(), {})
    usages, models = KeyUsages(policy, lambda: 0.0), ModelCatalog(ServiceArgs(), policy)
    shared = (usages, AuditLog(None), models, hosts, metrics)
    context = ConnectionContext(Limits(), policy, *shared, lambda: 0.0)
    connection = Connection(context, FaultyProtocol(), None)

    connection.receive_output(Output("session", 1, (Final(0, 0.0, 1.0, "text"),)))

    assert connection.closed
    assert asyncio.run(connection.outbox.next_frame()) == Closing(Close.RESTART, "restart")


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_the_clients_of_these_services_know_a_wrong_key() -> None:
    async def test() -> None:
        silence = np.zeros(1_600, np.int16)
        async with serving(keys="k1") as service:
            http = f"http://127.0.0.1:{service.port}"
            with pytest.raises(InvalidStatus, match="401"):
                await by_openai(http, silence, key="k2")
            with pytest.raises(ApiError, match="invalid credentials"):
                await by_deepgram(http, silence, key="k2")

    run(test)
