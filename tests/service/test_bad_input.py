"""Bad input, one kind a test, against the whole service; what single modules say to it is in tests/unit."""

import asyncio
import contextlib
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from tests.scripted_engine import Script, ScriptedDetector, ScriptedTranscriber
from tests.service.bombs import silent_flac
from tests.service.launched import wait_until
from tests.service.local import LocalService, serving
from tests.service.speaker import Listener, clips, listen
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from voxray.serving.protocol import Call, Input, Opened, Opening, Output
from voxray.serving.sessions.host import SessionHost
from voxray.serving.settings import Decoding, Limits, ServiceArgs
from voxray.wire import Close, Start, render

LIMIT_S = 20.0  # for what takes seconds at most
SECOND = bytes(32_000)
DAYS_S = 2 * 86_400.0
LIMITS = Limits(start_s=2.0, kept_s=1.0, session_s=120.0, decoded_s=120.0)
OTHERS_S = 4.0  # for the finals of those who do all right


@pytest.fixture(scope="module")
def strict() -> Iterator[LocalService]:
    """A service with limits that a test can reach."""
    with serving(ServiceArgs(limits=LIMITS)) as running:
        yield running


@dataclass
class Client:
    """A socket, and what came over it."""

    socket: ClientConnection
    messages: list[dict[str, Any]] = field(default_factory=list)

    async def say(self, kind: str, **values: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **values}))

    async def next(self, kind: str) -> dict[str, Any]:
        """The next message of this kind."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                self.messages.append(json.loads(await self.socket.recv()))
                if self.messages[-1]["type"] == kind:
                    return self.messages[-1]

    async def closed(self) -> tuple[int | None, str | None]:
        """What the server closes with, and the code of its error."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(LIMIT_S):
                while True:
                    self.messages.append(json.loads(await self.socket.recv()))
        error = next((m["code"] for m in self.messages if m["type"] == "error"), None)
        return self.socket.close_code, error


@contextlib.asynccontextmanager
async def client(service: LocalService, **start: Any) -> AsyncIterator[Client]:
    async with connect(service.url, proxy=None, compression=None, ping_interval=None) as socket:
        made = Client(socket)
        await made.say("start", **start)
        yield made


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def beside(service: LocalService, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """`work`, while somebody else speaks and must hear all of it in time."""

    async def both() -> None:
        await asyncio.gather(work(), listen(service.url, clips(), listener))

    listener = Listener()
    asyncio.run(both())
    assert len(listener.texts) == 4, listener.texts
    assert max(listener.delays_s) < OTHERS_S


# Sound that says nothing.


def test_an_hour_of_silence_costs_nothing_and_a_word_after_it_is_decoded() -> None:
    script = Script.of("still here.")
    host, transcriber, now_s = (
        SessionHost(1, Limits(), Decoding(), ScriptedDetector, model="scripted"),
        ScriptedTranscriber(script),
        0.0,
    )
    opened = host.open(Opening("gateway", Start()), now_s)
    assert isinstance(opened, Opened)
    messages, jobs, credit = list[dict[str, Any]](), 0, opened.credit_bytes
    speech = [SECOND] * 3_600 + [script.pcm().tobytes(), SECOND, SECOND]
    for number, audio in enumerate(speech, start=1):
        now_s += 1.0
        assert credit >= len(audio)
        call = Call("gateway", number, (Input(opened.session, opened.epoch, (audio,)),))
        outputs: tuple[Output, ...] = host.tick(call, now_s).outputs
        for output in outputs:
            credit = output.credit_bytes
            messages += [json.loads(render(m)) for m in output.messages]
        asked = host.jobs(now_s)
        jobs += len(asked) if number <= 3_600 else 0
        host.receive_answers([transcriber(job) for job in asked], now_s)
    types = {m["type"] for m in messages if m.get("at_s", 9_999.0) < 3_600}
    acks = [m for m in messages if m["type"] == "ack"]

    assert jobs == 0
    assert "speech_start" not in types
    assert all(a["received_bytes"] - a["keep_from_byte"] < 4 * 32_000 for a in acks[:3_600])
    assert [m["text"] for m in messages if m["type"] == "final"] == ["still here."]


@pytest.mark.parametrize("level", [30, 3_000, 32_767])
def test_noise_is_decoded_to_its_end(service: LocalService, level: int) -> None:
    rng = np.random.default_rng(level)

    async def test() -> None:
        async with client(service) as noisy:
            await noisy.socket.send(rng.integers(-level, level + 1, 20 * 16_000).astype("<i2").tobytes())
            await noisy.say("stop")

            assert await noisy.closed() == (Close.NORMAL, None)
            assert noisy.messages[-1]["audio_s"] == 20.0

    run(test)


# Clients that go, and clients that are not who they say.


def test_clients_that_vanish_in_a_word_leave_nothing(strict: LocalService) -> None:
    async def vanish() -> None:
        async with client(strict) as gone:
            await gone.socket.send(clips()[: 2 * len(SECOND)])
            await gone.next("speech_start")
            gone.socket.transport.abort()

    async def test() -> None:
        await asyncio.gather(*(vanish() for _ in range(8)))

    beside(strict, test)
    wait_until(lambda: strict.hosts.sessions == 0, LIMIT_S)


def test_anothers_session_cannot_be_had_and_its_owner_notices_nothing(service: LocalService) -> None:
    async def test() -> None:
        async with client(service) as owner:
            ready = await owner.next("ready")
            async with client(service) as thief:
                own = await thief.next("ready")
                for token in (own["resume_token"], "", "0" * 32, None):
                    async with client(service, session=ready["session"], resume_token=token) as again:
                        other = await again.next("ready")
                        assert other["session"] not in (ready["session"], own["session"])
                        assert other["resumed"] is False
            await owner.say("stop")

            assert await owner.closed() == (Close.NORMAL, None)

    run(test)


def test_of_clients_that_resume_at_once_one_has_the_session(service: LocalService) -> None:
    async def test() -> None:
        async with client(service) as first:
            ready = await first.next("ready")
            same = {"session": ready["session"], "resume_token": ready["resume_token"]}
            async with contextlib.AsyncExitStack() as stack:
                rivals = [await stack.enter_async_context(client(service, **same)) for _ in range(6)]
                readies = [await rival.next("ready") for rival in rivals]
                ends = [await c.closed() for c in (first, *rivals[:-1])]
                await rivals[-1].say("stop")

                assert {r["session"] for r in readies} == {ready["session"]}
                assert ends == [(Close.RESUMED_ELSEWHERE, "resumed_elsewhere")] * 6
                assert await rivals[-1].closed() == (Close.NORMAL, None)

    run(test)


# Too much.


def test_sound_faster_than_it_can_be_spoken_is_1008(service: LocalService) -> None:
    async def test() -> None:
        async with client(service) as fast:
            await fast.next("ready")
            with contextlib.suppress(ConnectionClosed):
                for _ in range(40):
                    await fast.socket.send(clips()[: 30 * len(SECOND)])

            assert await fast.closed() == (Close.BAD_MESSAGE, "too_fast")

    beside(service, test)


def test_what_claims_to_be_wide_does_not_stop_the_others(service: LocalService) -> None:
    async def test() -> None:
        start = {"sample_rate": 384_000, "channels": 32, "encoding": "pcm_f32le"}
        async with client(service, **start) as wide:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(2_000):
                    await wide.socket.send(bytes(1 << 20))

            assert await wide.closed() == (Close.FULL, "lagging")

    beside(service, test)


@pytest.mark.parametrize("stopped", [True, False])
def test_a_small_container_of_days_ends_with_the_longest_session(strict: LocalService, stopped: bool) -> None:
    async def test() -> None:
        async with client(strict, encoding="container") as bomb:
            await bomb.socket.send(silent_flac(DAYS_S))
            if stopped:
                await bomb.say("stop")

            assert await bomb.closed() == (Close.NORMAL, None)
            assert LIMITS.session_s <= bomb.messages[-1]["audio_s"] <= LIMITS.session_s + 30

    beside(strict, test)


def test_a_small_file_of_days_is_refused(strict: LocalService) -> None:
    began_s = time.monotonic()
    status, error = posted(strict, silent_flac(DAYS_S))

    assert (status, error["code"]) == (400, "invalid_file")
    assert "expected at most 120 s" in error["message"]
    assert time.monotonic() - began_s < LIMIT_S


# Files that name others.


@pytest.mark.parametrize("kind", ["m3u8", "concat", "sdp"])
def test_a_playlist_opens_nothing(service: LocalService, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.setblocking(False)
        for target in ("/etc/passwd", f"http://127.0.0.1:{canary.getsockname()[1]}/canary.wav"):
            playlist = PLAYLISTS[kind].format(target=target).encode()
            status, error = posted(service, playlist)
            assert (status, error["code"]) == (400, "invalid_file")
            assert "root:" not in error["message"]
            run(lambda sent=playlist: refused(service, sent))  # type: ignore[misc]  # mypy reads no default
        with pytest.raises(BlockingIOError):
            canary.accept()


PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{target}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={target}\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
}


async def refused(service: LocalService, container: bytes) -> None:
    """As a stream, it is no audio."""
    async with client(service, encoding="container") as planted:
        await planted.socket.send(container)
        await planted.say("stop")
        assert await planted.closed() == (Close.NOT_AUDIO, "not_audio")


def posted(service: LocalService, file: bytes) -> tuple[int, dict[str, str]]:
    """The status and the error of a request to transcribe `file`."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.m3u8"\r\n\r\n'
    fields = b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'
    request = urllib.request.Request(
        f"{service.http}/v1/audio/transcriptions",
        head + file + fields,
        {"Content-Type": "multipart/form-data; boundary=b"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=LIMIT_S)
    with caught.value as answer:
        return answer.code, json.load(answer)["error"]
