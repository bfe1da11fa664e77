"""Connections whose channels have a session each: one stream for the client, several for the hosts."""

import asyncio
import json
from typing import Any

import pytest
from tests.unit.serving.gateway.scripted import ScriptedHost
from tests.unit.serving.gateway.test_app import Client, run, serving, until

from voxray.serving.protocol import Control, Refused
from voxray.wire import Close

STEREO = {"channels": 2, "multichannel": True}
LEFT, RIGHT = b"aabbccdd", b"AABBCCDD"  # samples of two bytes
FRAMES = b"aaAAbbBBccCCddDD"


def audio(host: ScriptedHost) -> list[bytes]:
    return [host.audio_of(name) for name in host.sessions]


def finals(client: Client) -> list[tuple[int, str]]:
    return sorted((m["channel"], m["text"]) for m in client.messages if m["type"] == "final")


def test_each_channel_is_transcribed_by_itself() -> None:
    async def test() -> None:
        async with serving() as service, service.client(start={**STEREO, "language": "en"}) as client:
            ready = await client.next("ready")
            await client.send(FRAMES)
            await client.say("stop")

            assert await client.closed() == Close.NORMAL
            assert audio(service.host) == [LEFT, RIGHT]
            assert finals(client) == [(1, "8 bytes"), (2, "8 bytes")]
            assert [m for m in client.messages if m["type"] == "done"] == [
                {"type": "done", "audio_s": 1.0, "segments": 2}
            ]
            assert (ready["session"], ready["resume_token"], ready["model"]) == ("", "", "scripted")
            assert client.kinds[0] == "ready"
            assert client.kinds[-1] == "done"
            starts = [opening.start for opening in service.host.openings]
            assert [(s.channels, s.multichannel, s.language) for s in starts] == [(1, False, "en")] * 2
            assert not any(opening.resumable for opening in service.host.openings)

    run(test)


def test_the_sessions_of_all_channels_belong_to_the_client_s_key() -> None:
    async def test() -> None:
        async with serving(keys="k1,k2") as service:
            for start in ({**STEREO, "api_key": "k1"}, {"api_key": "k1"}, {"api_key": "k2"}):
                async with service.client(start=start) as client:
                    await client.next("ready")

            left, right, same, other = (opening.owner for opening in service.host.openings)
            assert left == right == same != other
            assert "k1" not in left

    run(test)


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_frames_may_be_cut_anywhere(cut: int) -> None:
    async def test() -> None:
        async with serving() as service, service.client(start=STEREO) as client:
            await client.send(*(FRAMES[at : at + cut] for at in range(0, len(FRAMES), cut)))
            await client.say("finalize")
            await client.next("finalized")
            await client.next("finalized")

            assert audio(service.host) == [LEFT, RIGHT]
            assert {m["channel"] for m in client.messages if m["type"] == "finalized"} == {1, 2}

    run(test)


def test_a_sample_of_a_telephone_line_is_one_byte() -> None:
    async def test() -> None:
        start = {**STEREO, "encoding": "mulaw", "sample_rate": 8_000}
        async with serving() as service, service.client(start=start) as client:
            await client.send(b"lRlRlR")
            await client.say("stop")

            await client.closed()
            assert audio(service.host) == [b"lll", b"RRR"]

    run(test)


def test_controls_are_at_the_same_place_in_all_channels() -> None:
    async def test() -> None:
        async with serving() as service, service.client(start=STEREO) as client:
            await client.send(FRAMES[:8])
            await client.say("finalize")
            await client.send(FRAMES[8:])
            await client.say("stop")

            await client.closed()
            for session, samples in zip(service.host.sessions.values(), (LEFT, RIGHT), strict=True):
                place = session.items.index(Control(stop=False))
                assert b"".join(i for i in session.items[:place] if isinstance(i, bytes)) == samples[:4]
                assert session.items[-1] == Control(stop=True)

    run(test)


def test_the_credit_is_that_of_the_fullest_channel() -> None:
    """Two seconds come at once, and each session has room for one."""

    async def test() -> None:
        host = ScriptedHost(credit_bytes=32_000)
        host.frozen = True
        async with serving(host) as service, service.client(start=STEREO) as client:
            await client.next("ready")
            await client.send(bytes(128_000))
            await client.say("stop")
            await until(lambda: [len(a) for a in audio(host)] == [32_000, 32_000])
            calls = len(host.calls)
            await until(lambda: len(host.calls) > calls + 3)
            assert [len(a) for a in audio(host)] == [32_000, 32_000]
            host.thaw()

            assert await client.closed() == Close.NORMAL
            assert [len(a) for a in audio(host)] == [64_000, 64_000]
            assert service.count("voxray_audio_bytes_total") == 128_000

    run(test)


def test_one_refused_channel_refuses_the_connection_and_leaves_the_others() -> None:
    async def test() -> None:
        async with serving() as service, service.client(start={}) as first:
            await first.next("ready")
            service.host.gate.clear()
            async with service.client(start=STEREO) as client:
                await asyncio.sleep(0)
                service.host.refusal = Refused(Close.FULL, "full", "expected room, got none.")
                service.host.gate.set()

                assert (await client.closed(), client.error) == (Close.FULL, "full")
                assert client.kinds == ["error"]
            assert service.gateway.sessions == 1

    run(test)


def test_all_channels_are_left_when_the_client_goes() -> None:
    async def test() -> None:
        async with serving() as service:
            async with service.client(start=STEREO) as client:
                await client.next("ready")
            await until(lambda: len(service.host.sessions) == 2)
            await until(lambda: not any(s.present for s in service.host.sessions.values()))

    run(test)


def test_a_lost_host_asks_the_client_to_begin_anew() -> None:
    async def test() -> None:
        async with serving() as service, service.client(start=STEREO) as client:
            await client.next("ready")
            service.host.dead = True

            assert await client.closed() == Close.RESTART
            assert client.messages[-1] == {"type": "reconnect", "resume_token": ""}

    run(test)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ({"encoding": "container"}, "an encoding of samples"),
        ({"channels": 9}, "at most 8 with multichannel"),
        ({"from_byte": 4}, "a new session"),
        ({"session": "1." + "0" * 32, "resume_token": "t"}, "a new session"),
    ],
)
def test_what_channels_cannot_be_is_named(start: dict[str, Any], expected: str) -> None:
    async def test() -> None:
        async with serving() as service, service.client(start={**STEREO, **start}) as client:
            assert (await client.closed(), client.error) == (Close.BAD_MESSAGE, "bad_message")
            assert expected in client.messages[-1]["message"]
            assert not service.host.openings

    run(test)


@pytest.mark.parametrize(
    "file", [b"RIFF\x24\0\0\0WAVEfmt ", b"OggS" + bytes(40), b"\x1a\x45\xdf\xa3" + bytes(40)]
)
def test_a_file_is_not_split_into_channels(file: bytes) -> None:
    async def test() -> None:
        async with serving() as service, service.client(start=STEREO) as client:
            await client.send(file)

            assert (await client.closed(), client.error) == (Close.NOT_AUDIO, "not_audio")
            assert "send what is after its header" in client.messages[-1]["message"]

    run(test)


def test_one_channel_is_a_session_as_any_other() -> None:
    async def test() -> None:
        async with serving() as service, service.client(start={"multichannel": True}) as client:
            ready = await client.next("ready")
            await client.send(b"ab")
            await client.say("stop")

            await client.closed()
            assert ready["resume_token"]
            assert not any("channel" in m for m in client.messages)

    run(test)


def test_deepgram_gets_results_by_channel() -> None:
    async def test() -> None:
        path = "/v1/listen?encoding=mulaw&sample_rate=8000&channels=2&multichannel=true"
        async with serving() as service, service.connect(path) as connection:
            await connection.send(b"lRlR")
            await connection.send('{"type": "Finalize"}')
            await connection.send('{"type": "CloseStream"}')
            told = [json.loads(text) async for text in connection]

            assert audio(service.host) == [b"ll", b"RR"]
            results = [m for m in told if m["type"] == "Results" and m["is_final"]]
            assert sorted(m["channel_index"] for m in results) == [[0, 2], [1, 2]]
            assert all(m["from_finalize"] for m in results)
            assert [m["channels"] for m in told if m["type"] == "Metadata"] == [2]
            assert told[-1]["type"] == "Metadata"

    run(test)
