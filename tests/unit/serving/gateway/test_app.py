"""The gateway over real sockets: uvicorn and the client's library in one loop, hosts that are scripted."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from tests.scripted_engine import Script, ScriptedDetector, ScriptedTranscriber
from tests.unit.serving.gateway.scripted import ScriptedDirectory, ScriptedHost
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from voxray.errors import ConfigError
from voxray.serving.gateway import app as gateway_app
from voxray.serving.gateway.timeouts import FLUSH_TIMEOUT_S
from voxray.serving.protocol import Control, Directory, Host, Job, Refused
from voxray.serving.sessions.async_host import AsyncHost
from voxray.serving.sessions.host import SessionHost
from voxray.serving.settings import ServiceArgs
from voxray.wire import Ack, Close, Final

SECOND = bytes(32_000)  # of 16 kHz s16le
STOP = Control(stop=True)
ACK = Ack(received_bytes=2, keep_from_byte=0, credit_bytes=0, processed_s=0.0, lag_s=0.0)
Messages = list[dict[str, Any]]


class Clock:
    """Seconds that go by when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Service:
    """A gateway that listens, and the hosts behind it."""

    port: int
    app: Starlette
    hosts: tuple[ScriptedHost, ...]
    directory: ScriptedDirectory
    clock: Clock = field(default_factory=Clock)

    @property
    def host(self) -> ScriptedHost:
        return self.hosts[0]

    @property
    def gateway(self) -> gateway_app.Gateway:
        return gateway_app.gateway_of(self.app)

    def count(self, metric: str, **labels: str) -> float:
        return self.gateway.metrics.registry.get_sample_value(metric, labels) or 0.0

    async def until_heard(self, frames: int) -> None:
        """Until the gateway has taken so many frames from its clients."""
        await until(lambda: self.count("voxray_messages_in_total") >= frames)

    def connect(self, path: str = "/v1/stream", **options: Any) -> connect:
        where = f"ws://127.0.0.1:{self.port}{path}"
        return connect(where, proxy=None, ping_interval=None, compression=None, **options)

    @contextlib.asynccontextmanager
    async def client(self, *, start: dict[str, Any] | None = None, **options: Any) -> AsyncIterator["Client"]:
        async with self.connect(**options) as connection:
            client = Client(connection)
            if start is not None:
                await client.say("start", **start)
            yield client


class Client:
    """A socket to a gateway, and what came over it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.messages: Messages = []

    async def say(self, kind: str, **values: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **values}))

    async def send(self, *frames: bytes | str) -> None:
        for frame in frames:
            await self.connection.send(frame)

    async def next(self, kind: str) -> dict[str, Any]:
        """The next message of this kind; what comes before it is kept too."""
        async with asyncio.timeout(5):
            while True:
                self.messages.append(json.loads(await self.connection.recv()))
                if self.messages[-1]["type"] == kind:
                    return self.messages[-1]

    async def closed(self) -> int | None:
        """The code that the server closes with, after all of its messages."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(5):
                while True:
                    self.messages.append(json.loads(await self.connection.recv()))
        return self.connection.close_code

    @property
    def error(self) -> str | None:
        return next((m["code"] for m in self.messages if m["type"] == "error"), None)

    @property
    def kinds(self) -> list[str]:
        return [m["type"] for m in self.messages]


@contextlib.asynccontextmanager
async def serving(
    *hosts: ScriptedHost, keys: str = "", directory: Directory | None = None, **args: Any
) -> AsyncIterator[Service]:
    """A gateway before `hosts` (one, unless they are given), or before those of `directory`."""
    hosts = hosts or (ScriptedHost(),)
    scripted, clock = ScriptedDirectory(*hosts), Clock()
    options = ServiceArgs.model_validate({"tick_ms": 5, **args})
    app = gateway_app.build(directory or scripted, options, environ={"VOXRAY_API_KEYS": keys}, clock=clock)
    config = uvicorn.Config(app, port=0, ws="websockets-sansio", lifespan="on", log_config=None)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started or running.done())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Service(port, app, hosts, scripted, clock)
    finally:
        for host in hosts:
            host.gate.set()
        server.should_exit = True
        await running


async def until(condition: Callable[[], object], limit_s: float = 5.0) -> None:
    """Let the loop go round until `condition` holds."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.002)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


# A stream, from its first message to its end.


def test_a_stream_from_start_to_done() -> None:
    async def test() -> None:
        async with serving() as service, service.client(start={"language": "en"}) as client:
            ready = await client.next("ready")
            await client.send(b"abcd", b"ef")
            await client.say("finalize")
            await client.next("finalized")
            await client.send(b"gh")
            await client.say("stop")

            assert await client.closed() == Close.NORMAL
            assert [m["text"] for m in client.messages if m["type"] == "final"] == ["6 bytes", "2 bytes"]
            assert client.kinds[-1] == "done"
            assert service.host.audio_of(ready["session"]) == b"abcdefgh"
            assert service.host.openings[0].start.language == "en"

    run(test)


def test_audio_with_no_start_means_the_defaults() -> None:
    async def test() -> None:
        async with serving() as service, service.client() as client:
            await client.send(b"ab")
            ready = await client.next("ready")
            await until(lambda: service.host.audio_of(ready["session"]) == b"ab")

            assert service.host.openings[0].start.sample_rate == 16_000

    run(test)


@pytest.mark.parametrize(("first", "answer"), [("finalize", "finalized"), ("stop", "done")])
def test_a_flush_may_come_first(first: str, answer: str) -> None:
    async def test() -> None:
        async with serving() as service, service.client() as client:
            await client.say(first)

            assert await client.next(answer)
            assert client.kinds == ["ready", answer]

    run(test)


def test_input_before_the_session_is_open_waits_for_it() -> None:
    async def test() -> None:
        async with serving() as service, service.client() as client:
            service.host.gate.clear()
            await client.send(b"ab", b"cd")
            await client.say("stop")
            service.host.gate.set()

            assert await client.closed() == Close.NORMAL
            assert [m["text"] for m in client.messages if m["type"] == "final"] == ["4 bytes"]

    run(test)


def test_a_plain_text_client_gets_finals_as_text_and_nothing_else() -> None:
    async def test() -> None:
        async with serving() as service, service.connect("/") as connection:
            for frame in (SECOND, SECOND, b"", b"", b"ab", b""):
                await connection.send(frame)

            assert [await asyncio.wait_for(connection.recv(), 5) for _ in range(2)] == [
                "64000 bytes",
                "2 bytes",
            ]
            await connection.send("text")
            await asyncio.wait_for(connection.wait_closed(), 5)
            assert (connection.close_code, connection.close_reason) == (Close.BAD_MESSAGE, "bad_message")

    run(test)


# Messages that are refused.


@pytest.mark.parametrize(
    "frame",
    [
        "no json",
        "[]",
        '{"type": "begin"}',
        '{"type": "start", "sample_rat": 16000}',
        '{"type": "finalize", "now": true}',
        '{"type": "start", "session": "../../etc"}',
        '{"type": "start", "session": "1.ABCDEF0123456789ABCDEF0123456789"}',
    ],
)
def test_a_bad_message_is_1008(frame: str) -> None:
    async def test() -> None:
        async with serving() as service, service.client() as client:
            await client.send(frame)

            assert await client.closed() == Close.BAD_MESSAGE
            assert client.error == "bad_message"
            assert (
                "expected" in client.messages[-1]["message"]
                or "unknown key" in client.messages[-1]["message"]
            )
            assert not service.directory.asked
            assert not service.host.openings

    run(test)


def test_a_second_start_is_1008() -> None:
    async def test() -> None:
        async with serving() as service, service.client(start={}) as client:
            await client.next("ready")
            await client.say("start")

            assert (await client.closed(), client.error) == (Close.BAD_MESSAGE, "bad_message")

    run(test)


def test_nothing_may_follow_stop() -> None:
    async def test() -> None:
        async with serving() as service, service.client(start={}) as client:
            service.host.gate.clear()
            await client.say("stop")
            await client.send(b"ab")

            assert (await client.closed(), client.error) == (Close.BAD_MESSAGE, "bad_message")

    run(test)


def test_a_frame_that_is_too_big_is_1009() -> None:
    async def test() -> None:
        async with serving(limits={"frame_bytes": 1_000}) as service, service.client() as client:
            await client.send(bytes(1_001))

            assert (await client.closed(), client.error) == (Close.TOO_BIG, "too_big")

    run(test)


def test_what_the_host_refuses_is_reported() -> None:
    async def test() -> None:
        host = ScriptedHost()
        host.refusal = Refused(Close.NOT_AUDIO, "not_audio", "expected audio, and a picture came.")
        async with serving(host) as service, service.client(start={}) as client:
            assert (await client.closed(), client.error) == (Close.NOT_AUDIO, "not_audio")

    run(test)


def test_a_connection_that_sends_nothing_is_1008() -> None:
    async def test() -> None:
        async with serving(limits={"start_s": 0.02}) as service, service.client() as client:
            assert (await client.closed(), client.error) == (Close.BAD_MESSAGE, "silent")

    run(test)


def test_an_idle_client_gets_its_finals_and_1000() -> None:
    async def test() -> None:
        async with serving() as service, service.client(start={}) as client:
            await client.send(b"ab")
            await client.next("ready")
            await until(lambda: service.host.calls and service.host.sessions)
            service.clock.now_s += 299
            calls = len(service.host.calls)
            await until(lambda: len(service.host.calls) > calls + 3)
            assert service.gateway.sessions == 1
            service.clock.now_s += 2

            assert await client.closed() == Close.NORMAL
            assert client.kinds[-2:] == ["final", "done"]
            assert client.connection.close_reason == "idle: nothing came for 300 s"

    run(test)


def test_empty_frames_are_silence() -> None:
    async def test() -> None:
        async with serving() as service, service.client(start={}) as client:
            await client.next("ready")
            service.clock.now_s += 299
            await client.send(b"")
            await service.until_heard(2)
            service.clock.now_s += 2

            assert await client.closed() == Close.NORMAL
            assert client.connection.close_reason == "idle: nothing came for 300 s"

    run(test)


def test_a_session_over_its_time_limit_gets_its_finals_and_1000() -> None:
    async def test() -> None:
        async with serving(limits={"session_s": 1_000.0}) as service, service.client(start={}) as client:
            session = (await client.next("ready"))["session"]
            for frame in range(1, 5):
                service.clock.now_s += 250
                await client.send(b"ab")
                await until(lambda n=frame: service.host.audio_of(session) == n * b"ab")  # type: ignore[misc]  # a default binds it
            assert service.gateway.sessions == 1
            service.clock.now_s += 1

            assert await client.closed() == Close.NORMAL
            assert client.kinds[-2:] == ["final", "done"]
            assert client.connection.close_reason == "session: open for 1000 s"

    run(test)


def test_a_client_whose_stop_is_not_answered_is_to_reconnect() -> None:
    async def test() -> None:
        host = ScriptedHost()
        host.hung = True
        async with serving(host) as service, service.client(start={}) as client:
            session = (await client.next("ready"))["session"]
            await client.send(b"ab")
            await client.say("stop")
            await until(lambda: STOP in host.sessions[session].items)
            service.clock.now_s += FLUSH_TIMEOUT_S
            host.sessions[session].say(ACK)  # which says that nothing has moved
            await client.next("ack")
            assert service.gateway.sessions == 1
            service.clock.now_s += 1

            assert await client.closed() == Close.RESTART
            assert client.kinds[-1] == "reconnect"
            await until(lambda: not host.sessions[session].present)

    run(test)


def test_finals_reset_the_flush_timeout() -> None:
    async def test() -> None:
        host = ScriptedHost()
        host.hung = True
        async with serving(host) as service, service.client(start={}) as client:
            session = (await client.next("ready"))["session"]
            await client.say("stop")
            await until(lambda: STOP in host.sessions[session].items)
            for segment in range(3):
                service.clock.now_s += FLUSH_TIMEOUT_S
                host.sessions[session].say(Final(segment, 0.0, 1.0, "slow"))
                await client.next("final")
            host.sessions[session].close = Close.NORMAL

            assert await client.closed() == Close.NORMAL

    run(test)


def test_a_client_whose_forced_flush_fails_is_to_try_later() -> None:
    async def test() -> None:
        host = ScriptedHost()
        host.hung = True
        async with serving(host) as service, service.client(start={}) as client:
            session = (await client.next("ready"))["session"]
            service.clock.now_s += 301
            await until(lambda: STOP in host.sessions[session].items)
            service.clock.now_s += FLUSH_TIMEOUT_S + 1

            assert (await client.closed(), client.error) == (Close.FULL, "unavailable")

    run(test)


# Credit and speed.


def test_no_more_than_the_credit_goes_on() -> None:
    async def test() -> None:
        host = ScriptedHost(credit_bytes=1_000)
        host.frozen = True
        async with serving(host) as service, service.client(start={}) as client:
            session = (await client.next("ready"))["session"]
            await client.send(bytes(600), bytes(600))
            await until(lambda: len(host.audio_of(session)) == 1_000)
            calls = len(host.calls)
            await until(lambda: len(host.calls) > calls + 3)
            assert len(host.audio_of(session)) == 1_000
            host.thaw()
            await until(lambda: len(host.audio_of(session)) == 1_200)

    run(test)


def test_a_live_source_that_the_service_lags_behind_is_flushed_and_closed() -> None:
    async def test() -> None:
        host = ScriptedHost(credit_bytes=32_000)
        host.frozen = True
        async with serving(host) as service, service.client(start={}) as client:
            await client.next("ready")
            for second in range(1, 33):
                service.clock.now_s += 1
                await client.send(SECOND)
                await service.until_heard(1 + second)
            host.thaw()
            host.credit_bytes = 10_000_000

            assert await client.closed() == Close.FULL
            assert client.kinds[-3:] == ["final", "done", "error"]
            assert client.messages[-3]["text"] == f"{31 * 32_000} bytes"
            assert client.error == "lagging"

    run(test)


def test_a_client_that_ignores_the_credit_is_too_fast() -> None:
    async def test() -> None:
        host = ScriptedHost(credit_bytes=32_000)
        host.frozen = True
        async with serving(host) as service, service.client(start={}) as client:
            await client.next("ready")
            with contextlib.suppress(ConnectionClosed):
                await client.send(*[SECOND] * 40)

            assert (await client.closed(), client.error) == (Close.BAD_MESSAGE, "too_fast")

    run(test)


def test_too_many_finalizes_are_too_fast() -> None:
    async def test() -> None:
        async with serving() as service, service.client() as client:
            for _ in range(11):
                await client.say("finalize")

            assert (await client.closed(), client.error) == (Close.BAD_MESSAGE, "too_fast")

    run(test)


def test_a_client_that_reads_nothing_is_closed() -> None:
    async def test() -> None:
        async with serving() as service, service.client(start={}) as client:
            session = service.host.sessions[(await client.next("ready"))["session"]]
            client.connection.transport.pause_reading()
            while service.gateway.connections:
                session.say(Final(0, 0.0, 1.0, "x" * 200_000))
                await asyncio.sleep(0)
                assert sum(c.outbox.size for c in service.gateway._connections) < 1 << 21
                if service.count("voxray_connections_closed_total", code="1008"):
                    break
            assert service.count("voxray_connections_closed_total", code="1008") == 1
            client.connection.transport.resume_reading()

    run(test)


# Access.


def test_a_foreign_page_or_name_is_403_before_accept() -> None:
    async def test() -> None:
        async with serving() as service:
            for options in (
                {"origin": "http://evil.example"},
                {"additional_headers": {"Host": "evil.example"}},
            ):
                with pytest.raises(InvalidStatus) as e:
                    await service.connect(**options)
                assert e.value.response.status_code == 403
            async with service.client(start={}, origin=f"http://127.0.0.1:{service.port}") as client:
                await client.next("ready")

    run(test)


def subprotocols(key: str) -> list[Subprotocol]:
    code = base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
    return [Subprotocol("voxray.v1"), Subprotocol(f"voxray.key.{code}")]


@pytest.mark.parametrize("way", ["header", "subprotocol", "start"])
@pytest.mark.parametrize("key", ["k1", "wrong"])
def test_a_key_comes_in_three_ways(way: str, key: str) -> None:
    options: dict[str, dict[str, Any]] = {
        "header": {"additional_headers": {"Authorization": f"Bearer {key}"}},
        "subprotocol": {"subprotocols": subprotocols(key)},
        "start": {},
    }
    start = {"api_key": key} if way == "start" else {}

    async def test() -> None:
        async with serving(keys="k0,k1") as service, service.client(**options[way]) as client:
            with contextlib.suppress(ConnectionClosed):
                await client.say("start", **start)
            if key == "k1":
                await client.next("ready")
                assert service.host.openings[0].start.api_key is None
            else:
                assert (await client.closed(), client.error) == (Close.NOT_ALLOWED, "not_allowed")
            expected = "voxray.v1" if way == "subprotocol" else None
            assert client.connection.subprotocol == expected

    run(test)


def test_audio_without_a_key_is_not_allowed() -> None:
    async def test() -> None:
        async with serving(keys="k1") as service, service.client() as client:
            await client.send(b"ab")

            assert (await client.closed(), client.error) == (Close.NOT_ALLOWED, "not_allowed")
            assert not service.host.openings

    run(test)


def test_clients_without_a_key_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected keys"):
        gateway_app.build(ScriptedDirectory(), ServiceArgs(host="0.0.0.0"), environ={})


# Full, gone, and back again.


def test_a_full_gateway_or_service_is_1013() -> None:
    async def test() -> None:
        async with serving(connections_per_gateway=2) as service:  # 0.9 of 2: one
            async with service.client(start={}) as first:
                await first.next("ready")
                async with service.client() as second:
                    assert (await second.closed(), second.error) == (Close.FULL, "full")
            await until(lambda: not service.gateway.connections)
            service.directory.full = True
            async with service.client(start={}) as third:
                assert (await third.closed(), third.error) == (Close.FULL, "full")

    run(test)


def test_a_resumed_session_closes_the_old_socket_with_4409() -> None:
    async def test() -> None:
        async with serving() as service, service.client(start={}) as old:
            ready = await old.next("ready")
            await old.send(b"abcd")
            await until(lambda: service.host.audio_of(ready["session"]) == b"abcd")
            again = {"session": ready["session"], "resume_token": ready["resume_token"]}
            async with service.client(start=again) as new:
                back = await new.next("ready")

                assert back["resumed"]
                assert (back["session"], back["received_bytes"]) == (ready["session"], 4)
                assert await old.closed() == Close.RESUMED_ELSEWHERE
                await new.send(b"ef")
                await until(lambda: service.host.audio_of(ready["session"]) == b"abcdef")

    run(test)


def test_a_client_that_is_gone_leaves_its_session() -> None:
    async def test() -> None:
        async with serving() as service:
            async with service.client(start={}) as client:
                session = service.host.sessions[(await client.next("ready"))["session"]]
            await until(lambda: not session.present)
            await until(lambda: not service.gateway.connections)

    run(test)


def test_a_host_that_dies_sends_its_clients_to_another() -> None:
    async def test() -> None:
        first, second = ScriptedHost(1), ScriptedHost(2)
        async with serving(first, second) as service, service.client(start={}) as client:
            ready = await client.next("ready")
            first.dead = True
            assert await client.closed() == Close.RESTART
            token = client.messages[-1]["resume_token"]
            assert client.messages[-1] == {"type": "reconnect", "resume_token": ready["resume_token"]}
            start = {"session": ready["session"], "resume_token": token, "from_byte": 6, "have_segment": 2}
            async with service.client(start=start) as again:
                back = await again.next("ready")

            assert not back["resumed"]
            assert back["received_bytes"] == 6
            assert back["session"].startswith("2.")

    run(test)


def test_a_gateway_that_drains_sends_its_clients_away_and_takes_none() -> None:
    async def test() -> None:
        async with serving() as service, service.client(start={}) as client, service.client() as silent:
            ready = await client.next("ready")
            await service.gateway.drain()

            assert await client.closed() == Close.RESTART
            assert client.kinds[-1] == "reconnect"
            assert await silent.closed() == Close.RESTART
            assert not service.host.sessions[ready["session"]].present
            async with service.client() as late:
                assert await late.closed() == Close.RESTART
            await until(lambda: not service.gateway.connections)

    run(test)


def test_calls_do_not_grow_with_the_clients() -> None:
    async def test() -> None:
        async with serving() as service, contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(service.client(start={})) for _ in range(20)]
            for client in clients:
                await client.next("ready")
            service.host.gate.clear()
            await until(lambda: service.host.running)
            before = len(service.host.calls)
            for client in clients:
                await client.send(b"ab")
            await service.until_heard(20 + 20)  # starts and frames
            service.host.gate.set()
            await until(lambda: len(service.host.calls) > before)

            assert len(service.host.calls[before].inputs) == 20
            assert service.host.most_running == 1

    run(test)


@pytest.mark.parametrize(("path", "resumable"), [("/v1/stream", True), ("/", False)])
def test_hosts_learn_which_clients_cannot_resume(path: str, resumable: bool) -> None:
    async def test() -> None:
        async with serving() as service, service.connect(path) as connection:
            await connection.send(b"ab")
            await until(lambda: service.host.openings)

            assert service.host.openings[0].resumable is resumable

    run(test)


# Models.


def test_a_stream_names_its_model_or_gets_that_of_its_key() -> None:
    async def test() -> None:
        async with serving(keys="k1,k2 quick", models={"quick": "/models/quick"}) as service:
            for key, model in (("k1", None), ("k2", None), ("k1", "quick"), ("k2", "tiny.en")):
                async with service.client(start={"api_key": key, "model": model}) as client:
                    await client.next("ready")
            assert [o.start.model for o in service.host.openings] == [None, "quick", "quick", None]

            async with service.client(start={"api_key": "k1", "model": "other"}) as client:
                assert await client.closed() == Close.BAD_MESSAGE
                assert client.error == "model_not_found"
                assert client.messages[-1]["message"] == "model: expected one of tiny.en, quick, got 'other'."
            assert len(service.host.openings) == 4

    run(test)


# With a real host.


class OneHost:
    """`calls.Directory` of one real host, whose jobs are answered as they come."""

    def __init__(self, script: Script) -> None:
        options = ServiceArgs()
        self.sessions = SessionHost(1, options.limits, options.decoding, ScriptedDetector, model="scripted")
        self.host = AsyncHost(self.sessions)
        self._ear = ScriptedTranscriber(script)

    async def place(self, gateway: str, without: frozenset[str] = frozenset()) -> tuple[str, Host]:
        return "host-1", self.host

    async def find(self, number: int) -> tuple[str, Host] | None:
        return ("host-1", self.host) if number == 1 else None

    async def decode(self) -> None:
        lease = self.host.new_lease()
        while (jobs := await self.host.next_jobs(lease)) is not None:
            await self.host.deliver(lease, [self._ear(job) for job in jobs if isinstance(job, Job)])


def test_a_script_is_transcribed_whole_over_a_lost_connection() -> None:
    script = Script.of("one two three\nfour five six\nseven eight")
    audio = script.pcm().tobytes()
    half = len(audio) // 2

    async def test() -> None:
        directory = OneHost(script)
        async with serving(directory=directory) as service:
            decoding = asyncio.create_task(directory.decode())
            async with service.client(start={}) as first:
                ready = await first.next("ready")
                await first.send(*(audio[i : i + 3_201] for i in range(0, half, 3_201)))
                final = await first.next("final")
            await until(lambda: not directory.sessions.gateways)
            start = {"session": ready["session"], "resume_token": ready["resume_token"]}
            async with service.client(start={**start, "have_segment": final["segment"]}) as again:
                back = await again.next("ready")
                await again.send(audio[back["received_bytes"] :])
                await again.say("stop")

                assert await again.closed() == Close.NORMAL
            decoding.cancel()
        texts = [m["text"] for m in (*first.messages, *again.messages) if m["type"] == "final"]

        assert back["resumed"]
        assert " ".join(texts) == script.text

    run(test)


# HTTP.


def test_health_metrics_and_what_is_added() -> None:
    async def hello(request: object) -> PlainTextResponse:
        return PlainTextResponse("hello")

    app = gateway_app.build(
        ScriptedDirectory(),
        ServiceArgs(),
        environ={"VOXRAY_API_KEYS": "k1"},
        routes=[Route("/v1/hello", hello)],
    )
    with TestClient(app, base_url="http://127.0.0.1") as client:
        health = client.get("/healthz")
        metrics = client.get("/metrics")

        assert health.json() == {"status": "ok", "sessions": 0, "connections": 0}
        assert "voxray_connections_accepted_total 0.0\n" in metrics.text
        assert client.get("/v1/hello").status_code == 401
        assert client.get("/v1/hello", headers={"Authorization": "Bearer k1"}).text == "hello"
        assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 403
        for answer in (health, metrics, client.get("/nothing")):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.get("/healthz").status_code == 503  # its life ended, and it drained
