"""The load and the whole script against a server that transcribes levels as words."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.benchmarks import live
from tests.benchmarks.client_scores import score_client
from tests.benchmarks.load import ClientRecord, Plan, carry_out
from tests.benchmarks.playing import Part
from tests.benchmarks.recordings import Recording, joined
from websockets.asyncio.server import ServerConnection, serve

from voxray.audio import SAMPLE_RATE, encode
from voxray.errors import ServiceError
from voxray.wire import Ack, Done, Error, Final, Partial, Ready, ServerMessage, Start, parse_client, render

LEVEL = 1000
SPOKEN = ("one two", "red house", "Monday", "nine five garden")
DELAY_S = 0.2  # of silence, after which the server is sure
STEP = SAMPLE_RATE // 100
SILENT_DBFS = -200.0


class LevelSession:
    """Samples of level 1000 n are the n-th of `SPOKEN`; a final comes after `DELAY_S` of silence."""

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.int16)
        self._read = 0  # samples
        self._segment = 0
        self._open: tuple[int, int, int] | None = None  # level, first sample, last sample

    def transcribe(self, audio: bytes) -> Iterator[ServerMessage]:
        self._samples = np.concatenate([self._samples, np.frombuffer(audio, "<i2")])
        while self._read + STEP <= len(self._samples):
            level = round(int(self._samples[self._read : self._read + STEP].max()) / LEVEL)
            self._read += STEP
            yield from self._step(level)
        yield Ack(2 * self._read, 0, 960_000, self._read / SAMPLE_RATE, 0.25)

    def _step(self, level: int) -> Iterator[ServerMessage]:
        now_s = self._read / SAMPLE_RATE
        if level and self._open is None:
            self._open = (level, self._read - STEP, self._read)
            yield Partial(self._segment, now_s, now_s, "", SPOKEN[level - 1])
        elif level and self._open:
            self._open = (*self._open[:2], self._read)
        elif self._open and now_s - self._open[2] / SAMPLE_RATE >= DELAY_S:
            level, first, last = self._open
            yield Final(self._segment, first / SAMPLE_RATE, last / SAMPLE_RATE, SPOKEN[level - 1])
            self._segment, self._open = self._segment + 1, None

    def done(self) -> Done:
        return Done(self._read / SAMPLE_RATE, self._segment)


async def attend(socket: ServerConnection) -> None:
    assert isinstance(parse_client(str(await socket.recv())), Start)
    await socket.send(render(Ready("0.0", "t", False, 0, "levels")))
    session = LevelSession()
    async for message in socket:
        if isinstance(message, str):
            await socket.send(render(session.done()))
            return
        for answer in session.transcribe(message):
            await socket.send(render(answer))


async def refuse(socket: ServerConnection) -> None:
    await socket.recv()
    await socket.send(render(Error("full", "expected fewer clients")))


async def go_away(socket: ServerConnection) -> None:
    await socket.recv()
    await socket.send(render(Ready("0.0", "t", False, 0, "none")))
    await socket.recv()
    await socket.close(1011, "broken")


@contextmanager
def serving(attend: object) -> Iterator[str]:
    """A server in a thread of its own; its URL."""
    started: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    urls: list[str] = []

    async def run() -> None:
        async with serve(attend, "127.0.0.1", 0, compression=None) as server:  # type: ignore[arg-type]  # handlers
            urls.append(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
            ready.set()
            await started.get()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(30)
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(started.put_nowait, "end")
        thread.join(30)
        loop.close()


@pytest.fixture(scope="module")
def recording() -> Recording:
    spoken = [
        (np.full(SAMPLE_RATE * 3 // 10, LEVEL * i, np.int16), text) for i, text in enumerate(SPOKEN, start=1)
    ]
    return joined("levels", spoken, [0.5] * len(spoken))


def plan(url: str, recording: Recording, clients: int, tail_s: float = 15.0) -> Plan:
    parts = tuple(
        Part(recording, 3.0, seed, seed / 10, noise_dbfs=SILENT_DBFS, quiet_s=0.6) for seed in range(clients)
    )
    return Plan(url, parts, Start(language="en"), tail_s=tail_s)


def records_of(plans: list[Plan]) -> list[ClientRecord]:
    records, load = carry_out(plans, lambda begin_s, pids: pids)
    assert len(load) == len(plans)
    return records


def test_clients_of_several_processes_get_all_words_after_they_are_spoken(recording: Recording) -> None:
    with serving(attend) as url:
        plans = [plan(url, recording, 2), plan(url, recording, 1)]
        records = records_of(plans)

    parts = [part for p in plans for part in p.parts]
    assert [h.error for h in records] == [None] * 3
    for part, client in zip(parts, records, strict=True):
        score = score_client(part.played().utterances, client.arrivals())
        assert score.utterances >= 2
        assert (score.words.errors, score.without_final) == (0, 0)
        assert min(score.final_s) >= DELAY_S - 0.02
        assert min(score.first_partial_s) >= 0
        assert len(client.late_s) == 30
        assert min(client.late_s) >= 0
        assert score.lag_s == 0.25


def test_what_goes_wrong_is_reported_for_each_client(recording: Recording) -> None:
    with serving(refuse) as url:
        (refused,) = records_of([plan(url, recording, 1)])
    with serving(go_away) as url:
        (left,) = records_of([plan(url, recording, 1)])
    (nobody,) = records_of([plan(url, recording, 1)])  # it listens no more

    assert "expected fewer clients" in str(refused.error)
    assert "1011" in str(left.error)
    assert "ConnectionRefusedError" in str(nobody.error)


def test_a_load_that_dies_is_an_error(recording: Recording) -> None:
    broken = Plan("ws://localhost:1", plan("", recording, 1).parts, Start(), frame_ms=0)

    with pytest.raises(ServiceError, match="died"):
        records_of([broken])


@pytest.fixture
def files(recording: Recording, tmp_path: Path) -> list[str]:
    (tmp_path / "levels.wav").write_bytes(encode(recording.pcm, "pcm_s16le", "wav"))
    lines = (f"{u.start_s}\t{u.end_s}\t{u.text}\n" for u in recording.utterances)
    (tmp_path / "levels.tsv").write_text("".join(lines))
    return ["--wav", str(tmp_path / "levels.wav"), "--tsv", str(tmp_path / "levels.tsv")]


def test_the_whole_measures_and_ends_with_one_line(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*files, "--clients", "1,2", "--seconds", "4", "--noise-dbfs", "-200", "--processes", "2"]
    with serving(attend) as url:
        assert live.main(["--url", url, "--warm-up", "1", "--json", str(tmp_path / "out.json"), *words]) == 0
    out, err = capsys.readouterr()
    one, two = json.loads(out.splitlines()[-1])["rows"]

    assert json.loads((tmp_path / "out.json").read_text()) == {"rows": [one, two]}
    assert (one["clients"], two["clients"]) == (1, 2)
    for row in (one, two):
        assert (row["wer"], row["without_final"], row["errors"]) == (0.0, 0, 0)
        assert row["utterances"] >= 2 * row["clients"]
        assert row["committed_s"]["p50"] >= DELAY_S - 0.02
        assert row["messages_per_s"] > 5
        assert row["cpu"]["load"] >= 0
    assert "levels" not in out
    assert "files, 2 clients" in err


def test_a_soak_compares_first_and_last_third(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with serving(attend) as url:
        assert (
            live.main(["--url", url, "--warm-up", "1", "--soak", "0.1", "--noise-dbfs", "-200", *files]) == 0
        )
    soak = json.loads(capsys.readouterr().out)["soak"]

    assert [s["at_s"] for s in soak["samples"]] == pytest.approx([1, 2, 3, 4, 5, 6])
    assert soak["first"]["lag_s"] == soak["last"]["lag_s"] == 0.25
    assert soak["first"]["committed_s"]["count"] > 0
    assert "load" in soak["growth_mb"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--wav", "a.wav"], "a --tsv for each --wav"),
        (["--recording", "digits", "--digits", "nowhere"], "expected digits recordings in nowhere"),
        (["--url", "ws://localhost:1", "model=x"], "no words for a running service"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert live.main(words) == 1
    assert message in capsys.readouterr().err
