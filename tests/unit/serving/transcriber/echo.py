"""What the tests of the transcriber share: a decoder that echoes its input, and sources of jobs."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from voxray.audio import SAMPLE_RATE, Pcm
from voxray.errors import AudioError
from voxray.serving.protocol import Answer, HandedOver, Job, ModelDescription
from voxray.serving.transcriber.scheduler import Group, SchedulerOptions
from voxray.streaming.events import DecodeMode, Hypothesis, HypothesisWord
from voxray.whisper.engines import DecodingOptions, DecodingResult

LIMIT_S = 20.0
AT_ONCE = SchedulerOptions(fill_s=0.0)


def job(
    session: str,
    number: int = 0,
    mode: DecodeMode = DecodeMode.PARTIAL,
    pcm: bytes = b"",
    model: str | None = None,
) -> Job:
    return Job(session, number, pcm, "", mode, False, None, "transcribe", "", "", 0.0, model)


def hypothesis(text: str) -> Hypothesis:
    return Hypothesis((HypothesisWord(text),))


def file_hypothesis(text: str) -> DecodingResult:
    return DecodingResult(text, "en", (), (), (), -0.1, 0.0, 1.0)


@dataclass(eq=False)
class EchoDecoder:
    """Decodes a job to its session and number, a clip to its length. `gate` holds its thread up."""

    latencies_s: Sequence[float] = (0.0,)
    wrong: set[str] = field(default_factory=set)  # sessions whose batch fails
    gate: threading.Event = field(default_factory=threading.Event)
    calls: list[list[str]] = field(default_factory=list)
    running: Counter[str] = field(default_factory=Counter)
    counting: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def description(self) -> ModelDescription:
        return ModelDescription(2.0, ("en",))

    def group(self, job: Job) -> Group:
        return Group(0, 4, 2.0, 0.2 if job.mode is DecodeMode.FALLBACK else 0.0)

    def decode(self, jobs: Sequence[Job]) -> list[Hypothesis | None]:
        with self.counting:
            self.running.update(j.session for j in jobs)
            assert max(self.running.values()) == 1, "a session runs twice"
        self._call([f"{j.session}{j.number}" for j in jobs])
        with self.counting:
            self.running.subtract(j.session for j in jobs)
        if any(j.session in self.wrong for j in jobs):
            raise RuntimeError("out of memory")
        return [hypothesis(f"{j.session}{j.number}") for j in jobs]

    def file_batches(self, clips: Sequence[Pcm]) -> Iterator[list[int]]:
        if any(len(c) > 30 * SAMPLE_RATE for c in clips):
            raise AudioError("clip 0: expected at most 30 s.")
        return ([i] for i in reversed(range(len(clips))))

    def transcribe(self, clips: Sequence[Pcm], options: DecodingOptions) -> list[DecodingResult]:
        self._call([f"clip {len(c)}" for c in clips])
        if any(len(c) == 13 for c in clips):
            raise AudioError("clip 0: unlucky.")
        return [file_hypothesis(f"{len(c)} {options.language}") for c in clips]

    def close(self) -> None:
        self.closed = True

    def _call(self, names: list[str]) -> None:
        assert not self.closed
        self.calls.append(names)
        assert self.gate.wait(LIMIT_S)
        time.sleep(self.latencies_s[len(self.calls) % len(self.latencies_s)])


@dataclass
class ListedSource:
    """Hands out what is put in, then waits; `None` ends the lease, an exception is raised."""

    handed: "asyncio.Queue[list[HandedOver] | Exception | None]" = field(default_factory=asyncio.Queue)
    delivered: list[list[Answer]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)  # closed, it delivers nothing
    takes: int = 0

    def __post_init__(self) -> None:
        self.open.set()

    def put(self, *items: HandedOver) -> None:
        self.handed.put_nowait(list(items))

    async def next_jobs(self, lease: int) -> list[HandedOver] | None:
        self.takes += 1
        handed = await self.handed.get()
        if isinstance(handed, Exception):
            raise handed
        return handed

    async def deliver(self, lease: int, answers: list[Answer]) -> None:
        self.delivered.append(answers)
        await self.open.wait()

    @property
    def answers(self) -> list[Answer]:
        return [a for answers in self.delivered for a in answers]

    @property
    def texts(self) -> list[str]:
        return [a.hypothesis.text for a in self.answers if a.hypothesis]


async def until(happens: Callable[[], object]) -> None:
    """Wait for a condition, not for a time."""
    async with asyncio.timeout(LIMIT_S):
        while not happens():
            await asyncio.sleep(0.001)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT_S):
            await test()

    asyncio.run(limited())
