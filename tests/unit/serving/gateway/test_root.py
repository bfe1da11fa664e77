"""The socket at `/`: WhisperLive's clients, beside those of plain text."""

import asyncio
import contextlib
import json
from typing import Any

from tests.unit.serving.gateway.test_app import SECOND, Service, run, serving, until
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from voxray.wire import Close

HANDSHAKE = json.dumps({"uid": "u1", "language": "en", "task": "transcribe", "model": "small"})


async def next_message(connection: ClientConnection) -> dict[str, Any]:
    """The next message that is no warning."""
    async with asyncio.timeout(5):
        while True:
            message: dict[str, Any] = json.loads(await connection.recv())
            if message.get("status") != "WARNING":
                return message


async def texts(connection: ClientConnection, count: int) -> list[str]:
    """The texts of the completed segments, once there are so many."""
    while True:
        segments = (await next_message(connection)).get("segments", [])
        completed = [s["text"] for s in segments if s["completed"]]
        if len(completed) >= count:
            return completed


async def calls_later(service: Service) -> None:
    """Let the gateway call its host a few times."""
    calls = len(service.host.calls)
    await until(lambda: len(service.host.calls) > calls + 3)


async def until_received(service: Service, size: int) -> None:
    await until(lambda: [s.received for s in service.host.sessions.values()] == [size])


def test_a_client_of_whisper_live_is_served_until_its_end_of_audio() -> None:
    async def test() -> None:
        async with serving() as service, service.connect("/") as connection:
            await connection.send(HANDSHAKE)
            ready = await next_message(connection)
            assert ready == {"uid": "u1", "message": "SERVER_READY", "backend": "faster_whisper"}
            await connection.send(SECOND)
            await connection.send(b"END_OF_AUDIO")

            assert await texts(connection, 1) == [" 32000 bytes"]
            with contextlib.suppress(ConnectionClosed):
                await connection.recv()
            assert connection.close_code == Close.NORMAL
            (opening,) = service.host.openings
            assert (opening.start.encoding, opening.start.language) == ("pcm_f32le", "en")
            assert not opening.resumable

    run(test)


def test_what_was_said_is_final_soon_after_the_audio_stops() -> None:
    """The client waits for that before it sends its end of audio, and closes right after."""

    async def test() -> None:
        async with serving() as service, service.connect("/") as connection:
            await connection.send(HANDSHAKE)
            for count, size in ((1, 32_000), (2, 64_000)):
                await connection.send(SECOND)
                await until_received(service, size)
                service.clock.now_s += 1.9
                await calls_later(service)
                assert [s.flushed for s in service.host.sessions.values()] == [size - 32_000]
                service.clock.now_s += 0.2
                assert await texts(connection, count) == [" 32000 bytes"] * count
            service.clock.now_s += 60
            await calls_later(service)

            (session,) = service.host.sessions.values()
            assert sum(not isinstance(item, bytes) for item in session.items) == 2

    run(test)


def test_a_client_of_whisper_live_is_told_to_wait_where_there_is_no_room() -> None:
    async def test() -> None:
        async with serving() as service, service.connect("/") as connection:
            service.directory.full = True
            await connection.send(HANDSHAKE)

            assert await next_message(connection) == {"uid": "u1", "status": "WAIT", "message": 1}
            await asyncio.wait_for(connection.wait_closed(), 5)
            assert connection.close_code == Close.FULL

    run(test)


def test_a_client_of_whisper_live_needs_a_key_where_others_do() -> None:
    async def test() -> None:
        async with serving(keys="k1") as service:
            async with service.connect("/") as connection:
                await connection.send(HANDSHAKE)
                assert (await next_message(connection))["status"] == "ERROR"
            headers = {"Authorization": "Bearer k1"}
            async with service.connect("/", additional_headers=headers) as connection:
                await connection.send(HANDSHAKE)
                assert (await next_message(connection))["message"] == "SERVER_READY"

    run(test)
