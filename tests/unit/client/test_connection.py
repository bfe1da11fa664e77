import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import replace
from http import HTTPStatus

import pytest
from tests.unit.client.scripted import ScriptedServer, ScriptedService, serving, spoken, words
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from voxray.client import Event, Live, Lost, RetryPolicy, stream
from voxray.client.refusals import why
from voxray.errors import ConfigError, ServiceError, VoxrayError, WireError
from voxray.wire import Close, Done, Error, Final, Finalized, Ready, Start

NUMBERS = [n % 10 and n for n in range(1, 2_001)]
AUDIO = spoken(NUMBERS)  # 2 s: nine words, a millisecond of silence, and so on
QUICK = RetryPolicy(first_s=0.01, most_s=0.05, total_s=5.0, silence_s=0.4, opening_s=5.0)


def run(scene: Callable[[ScriptedService], Coroutine[None, None, None]], **service: object) -> None:
    async def play() -> None:
        async with asyncio.timeout(30), serving(ScriptedService(**service)) as there:  # type: ignore[arg-type]  # its fields
            await scene(there)

    asyncio.run(play())


async def events_of(service: ScriptedService, *, live: bool = False) -> list[Event]:
    """All events of one stream of `AUDIO`."""
    async with stream(service.url, live=live, retry=QUICK) as talk:
        await talk.send(AUDIO)
        await talk.stop()
        return [event async for event in talk]


async def drained(live: Live) -> list[Event]:
    return [event async for event in live]


async def refused(service: ScriptedService, refusals: list[tuple[Close, Error]], retry: RetryPolicy) -> None:
    """A stream that is lost once, and then refused."""
    async with stream(service.url, retry=retry) as live:
        service.refuse, service.drop_after = refusals, [1]
        await live.send(AUDIO)
        await drained(live)


def finals(events: list[Event]) -> list[Final]:
    return [e for e in events if isinstance(e, Final)]


def text(events: list[Event]) -> str:
    return " ".join(f.text for f in finals(events))


def test_all_audio_is_transcribed() -> None:
    async def scene(service: ScriptedService) -> None:
        events = await events_of(service)

        assert text(events) == words(NUMBERS)
        assert isinstance(events[0], Ready)
        assert isinstance(events[-1], Done)
        assert [f.segment for f in finals(events)] == list(range(len(finals(events))))

    run(scene)


@pytest.mark.parametrize("forget", [False, True], ids=["session kept", "session lost"])
@pytest.mark.parametrize("live", [False, True], ids=["file", "live"])
def test_lost_connections_do_not_show_in_the_text(forget: bool, live: bool) -> None:
    async def scene(service: ScriptedService) -> None:
        events = await events_of(service, live=live)

        assert text(events) == words(NUMBERS)
        assert sum(isinstance(e, Lost) for e in events) == 3
        assert service.connections == 4
        assert [e.resumed for e in events if isinstance(e, Ready)] == [False, *[not forget] * 3]

    run(scene, drop_after=[10_000, 40_000, 64_000], forget=forget, speed=20)


def test_a_loss_before_the_first_ready_is_mended() -> None:
    async def scene(service: ScriptedService) -> None:
        events = await events_of(service)

        assert text(events) == words(NUMBERS)
        assert [type(e) for e in events[:3]] == [Lost, Lost, Ready]

    run(scene, cut=2)


def test_a_server_that_never_gets_ready_is_given_up() -> None:
    async def scene(service: ScriptedService) -> None:
        with pytest.raises(ServiceError, match=r"to answer again within 0\.2 s"):
            await connected(service.url, replace(QUICK, total_s=0.2))

    run(scene, cut=1000)


def test_a_server_that_is_silent_at_first_is_reported_at_once() -> None:
    async def scene(service: ScriptedService) -> None:
        with pytest.raises(ServiceError, match="the server is silent"):
            await connected(service.url, replace(QUICK, opening_s=0.2))
        assert service.connections == 1

    run(scene, silent=True)


def test_a_loss_just_before_done_is_mended() -> None:
    async def scene(service: ScriptedService) -> None:
        async with stream(service.url, retry=QUICK) as live:
            await live.send(AUDIO)
            await live.stop()
            events = [event async for event in live]

        assert text(events) == words(NUMBERS)

    run(scene, drop_after=[len(AUDIO)], speed=20)


def test_a_file_waits_for_credit_and_no_more_is_sent_than_it_allows() -> None:
    async def scene(service: ScriptedService) -> None:
        async with stream(service.url, retry=QUICK) as live:
            sending = asyncio.create_task(live.send(AUDIO * 10))
            async for event in live:
                (session,) = service.server.sessions.values()
                assert session.received - session.decoded <= session.room + 64_000  # the first 2 s are free
                if isinstance(event, Final) and event.segment == 50:
                    break
            assert not sending.done()
            sending.cancel()

    run(scene, server=ScriptedServer(room_s=0.5), speed=20)


def test_finalize_is_answered_after_the_finals_of_the_audio_before() -> None:
    async def scene(service: ScriptedService) -> None:
        async with stream(service.url, retry=QUICK) as live:
            await live.send(spoken([1, 2]))
            await live.finalize()
            events: list[Event] = []
            async for event in live:
                events.append(event)
                if isinstance(event, Finalized):
                    break
            await live.send(spoken([3]))
            await live.stop()
            later = [event async for event in live]

        assert [f.text for f in finals(events)] == ["w1 w2"]
        assert [f.text for f in finals(later)] == ["w3"]

    run(scene)


def test_word_times_come_where_they_are_asked_for() -> None:
    async def scene(service: ScriptedService) -> None:
        async with stream(service.url, Start(words=True), retry=QUICK) as live:
            await live.send(spoken([7]))
            await live.stop()
            (final,) = finals([event async for event in live])

        assert final.words
        assert final.words[0].text == "w7"

    run(scene)


def test_a_silent_server_is_left() -> None:
    async def scene(service: ScriptedService) -> None:
        async with stream(service.url, retry=QUICK) as live:
            service.silent = True
            await live.send(AUDIO)
            await live.stop()
            events: list[Event] = []
            async for event in live:
                events.append(event)
                if isinstance(event, Lost):
                    service.silent = False

        assert [e.reason for e in events if isinstance(e, Lost)] == ["the server is silent"]
        assert text(events) == words(NUMBERS)

    run(scene)


REFUSALS: list[tuple[Close, str, type[VoxrayError]]] = [
    (Close.NOT_AUDIO, "not_audio", WireError),
    (Close.BAD_MESSAGE, "bad_message", WireError),
    (Close.TOO_BIG, "too_big", WireError),
    (Close.NOT_ALLOWED, "not_allowed", ServiceError),
    (Close.RESUMED_ELSEWHERE, "resumed_elsewhere", ServiceError),
    (Close.RESTART, "not_resumable", ServiceError),
]


@pytest.mark.parametrize(("close", "code", "kind"), REFUSALS)
@pytest.mark.parametrize("at_first", [True, False], ids=["at once", "after a loss"])
def test_a_refusal_is_the_servers_sentence(
    at_first: bool, close: Close, code: str, kind: type[VoxrayError]
) -> None:
    refusal = (close, Error(code, "expected this, and that came."))

    async def scene(service: ScriptedService) -> None:
        if at_first:
            service.refuse = [refusal]
        with pytest.raises(kind, match=r"^expected this, and that came\.$"):
            await refused(service, [refusal], QUICK)

    run(scene)


async def connected(url: str, retry: RetryPolicy = QUICK) -> None:
    async with stream(url, retry=retry):
        raise AssertionError("nobody is there")


@pytest.mark.parametrize("status", [HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED])
def test_a_name_that_is_not_allowed_is_reported_with_what_allows_it(status: HTTPStatus) -> None:
    async def scene() -> None:
        def refuse(socket: ServerConnection, request: Request) -> Response:
            return socket.respond(status, "no")

        async with serve(ScriptedService().attend, "127.0.0.1", 0, process_request=refuse) as listener:
            await connected(f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}")

    with pytest.raises(ServiceError, match=rf"HTTP {status:d}; its access\.allowed_hosts .*_origins .* keys"):
        asyncio.run(scene())


def test_tls_where_there_is_none_is_reported_as_that() -> None:
    async def scene(service: ScriptedService) -> None:
        with pytest.raises(ServiceError, match=r"breaks off\); write ws:// where the server has no"):
            await connected(service.url.replace("ws:", "wss:"))

    run(scene)


def test_a_server_of_something_else_is_reported_as_that() -> None:
    async def scene() -> None:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail ready\r\n")
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
            await connected(f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}")

    with pytest.raises(ServiceError, match="expected a WebSocket server, got another one"):
        asyncio.run(scene())


def test_a_server_that_does_not_answer_is_reported_as_that() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServiceError, match="got no answer in time"):
            asyncio.run(connected(url, replace(QUICK, connect_s=0.1)))


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("ws://far.example", ConnectionRefusedError(111, "refused"), "whether it runs there"),
        ("ws://localhost:8000", ConnectionRefusedError(111, "refused"), "start one with `make serve`"),
        ("ws://localhost:8000", OSError("Multiple exceptions: [Errno 111]"), "start one with `make serve`"),
        (
            "wss://localhost",
            ssl.SSLError(1, "self-signed"),
            r"expected TLS .*self-signed.*; write ws:// where",
        ),
        ("ws://far.example", socket.gaierror(-2, "Name unknown"), "the name of a host, .*Name unknown"),
    ],
)
def test_only_this_machine_is_asked_to_start_a_server(url: str, error: Exception, message: str) -> None:
    assert re.search(message, why(url, error))
    assert ("make serve" in why(url, error)) == ("make serve" in message)


def test_no_server_at_the_address_is_reported_at_once() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{closed.getsockname()[1]}"

        with pytest.raises(ServiceError, match="start one with `make serve`"):
            asyncio.run(connected(url))


def test_a_session_that_faults_on_the_same_audio_each_time_is_given_up() -> None:
    async def scene(service: ScriptedService) -> None:
        retry = replace(QUICK, total_s=0.5)
        async with stream(service.url, retry=retry) as live:
            await live.send(AUDIO)
            await live.stop()
            with pytest.raises(ServiceError, match=r"to answer again within 0\.5 s"):
                await drained(live)

        assert service.connections > 5

    run(scene, drop_after=[40_000] * 10_000, forget=True, speed=1)


def test_a_server_that_only_acknowledges_is_given_up_however_long_its_connections_hold() -> None:
    async def scene(service: ScriptedService) -> None:
        async with stream(service.url, retry=replace(QUICK, total_s=0.3)) as live:
            await live.send(AUDIO)
            await live.stop()
            with pytest.raises(ServiceError, match=r"to answer again within 0\.3 s"):
                await drained(live)

    run(scene, speed=0, hold_s=0.4)


def test_it_gives_up_after_a_while() -> None:
    async def scene(service: ScriptedService) -> None:
        retry = replace(QUICK, total_s=0.2)
        full = (Close.FULL, Error("full", "expected room."))
        with pytest.raises(ServiceError, match=r"to answer again within 0\.2 s"):
            await refused(service, [full] * 100, retry)

    run(scene)


def test_nothing_may_be_sent_after_stop() -> None:
    async def scene(service: ScriptedService) -> None:
        async with stream(service.url, retry=QUICK) as live:
            await live.stop()
            await live.stop()
            with pytest.raises(ServiceError, match="nothing more"):
                await live.send(AUDIO)

    run(scene)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "127.0.0.1:8000", "ws://"])
def test_a_url_that_is_none_is_named(url: str) -> None:
    async def play() -> Live:
        return stream(url)

    with pytest.raises(ConfigError, match="expected a URL such as ws://"):
        asyncio.run(play())


def test_channels_with_sessions_of_their_own_are_refused() -> None:
    with pytest.raises(ConfigError, match="with a stream for each channel"):
        stream("ws://127.0.0.1:1", Start(channels=2, multichannel=True))


def test_a_live_source_is_not_held_up_and_not_buffered_for_ever() -> None:
    async def scene(service: ScriptedService) -> None:
        async with stream(service.url, Start(sample_rate=4_000), live=True, retry=QUICK) as live:
            for _ in range(120):
                await live.send(bytes(8_000))
            with pytest.raises(ServiceError, match="120 s of it wait"):
                await live.send(bytes(8_000))
            with pytest.raises(ServiceError, match="120 s of it wait"):
                await drained(live)

    run(scene, server=ScriptedServer(room_s=0.5), speed=0)
