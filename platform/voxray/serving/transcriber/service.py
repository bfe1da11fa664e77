"""asyncio around the scheduler and one decode thread: sources are attended, files are transcribed between.

    Source.take --jobs--> Scheduler --batch--> thread --answers--> Source.deliver, while the next batch runs
    transcribe --pieces--> queue ----piece---> thread

A piece of a file runs when no batch is ready; one that has waited as long as a partial may takes its turn
with the batches. So a batch that is ready waits for one piece at most, and files go on under any load.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from voxray.audio import Pcm
from voxray.errors import ServiceError
from voxray.serving.protocol import Job, Source
from voxray.serving.transcriber.lease import Lease
from voxray.serving.transcriber.scheduler import Group, Scheduler, SchedulerOptions, Ticket
from voxray.streaming.events import DecodeMode, Hypothesis
from voxray.whisper import engines
from voxray.whisper.engines import DecodingOptions

Observe = Callable[[str, float], None]
T = TypeVar("T")

log = logging.getLogger(__name__)


class Decodes(Protocol):
    """What decodes, called from one thread at a time (`decoder.Decoder`); `group` and `pieces` are quick."""

    def group(self, job: Job) -> Group:
        """What `job` shares with the others of its batch."""
        ...

    def decode(self, jobs: Sequence[Job]) -> list[Hypothesis | None]:
        """One hypothesis per job of one group, in order; None where a job cannot be decoded."""
        ...

    def pieces(self, clips: Sequence[Pcm]) -> Iterator[list[int]]:
        """Indices of clips that are transcribed in one go."""
        ...

    def transcribe(self, clips: Sequence[Pcm], options: DecodingOptions) -> list[engines.DecodingResult]:
        """One hypothesis per clip, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A job, and who is to have its answer."""

    source: Lease
    job: Job


@dataclass(frozen=True, slots=True)
class Piece:
    """Some clips of a file; `heard` is set when they are transcribed."""

    clips: list[Pcm]
    options: DecodingOptions
    arrived_s: float
    heard: "asyncio.Future[list[engines.DecodingResult]]"


class DecodeService:
    """Serves one loaded model. It belongs to the event loop in which it is first used.

    `observe` is told `queue_delay_s` of each job, `batch_size` and `decode_s` of each batch, and `superseded`
    (1) for each job that a newer one replaced. `released_s`: how long what runs may take when its lease ends,
    for where the lease was given back its answers are still of use.
    """

    def __init__(
        self,
        decoder: Decodes,
        options: SchedulerOptions | None = None,
        observe: Observe | None = None,
        *,
        released_s: float = 5.0,
    ) -> None:
        self._decoder = decoder
        self._options = options or SchedulerOptions()
        self._observe = observe or (lambda name, value: None)
        self._released_s = released_s
        self._scheduler = Scheduler[Asked](self._options)
        self._pieces: deque[Piece] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._attended = 0
        self._running: asyncio.Task[None] | None = None
        self._began_s: float | None = None  # when the thread got what it is at
        self._changed = asyncio.Event()
        self._draining = asyncio.Event()
        self._closed = False

    async def attend(self, source: Source, lease: int) -> None:
        """Decode what `source` has until its lease is over, it is gone, or the service drains.

        What is then queued is dropped unanswered: a host gives it to its next transcriber. What runs is
        delivered, unless the source is gone; after the end of a lease for at most `released_s`.
        """
        running = self._start()
        if self._draining.is_set():
            return
        self._attended += 1
        attended = Lease(self._attended, source, lease)
        taking = asyncio.create_task(self._take(attended))
        delivering = asyncio.create_task(attended.deliver())
        draining = asyncio.create_task(self._draining.wait())
        try:
            ends = (taking, delivering, draining, running)
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            released = taking.done() and taking.exception() is None
            taking.cancel()
            self._forget(attended)
            if draining.done() or released:
                attended.end()
                await asyncio.wait({delivering}, timeout=None if draining.done() else self._released_s)
        finally:
            self._forget(attended)
            await _ended(taking, delivering, draining)

    async def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions | None = None
    ) -> list[engines.DecodingResult]:
        """What is heard in the clips of a file, each at most 30 s, in order.

        Raises AudioError for a longer clip, ServiceError where the service is closed before the end.
        """
        options = options or DecodingOptions()
        found: dict[int, engines.DecodingResult] = {}
        for indices in self._decoder.pieces(clips):
            heard = await self._transcribe([clips[i] for i in indices], options)
            found.update(zip(indices, heard, strict=True))
        return [found[i] for i in range(len(clips))]

    def delay_s(self) -> float:
        """How long the oldest job, or piece of a file, has waited."""
        piece_s = time.monotonic() - self._pieces[0].arrived_s if self._pieces else 0.0
        return max(self.live_delay_s(), piece_s)

    def live_delay_s(self) -> float:
        """How long the oldest job has waited."""
        return self._scheduler.delay_s(time.monotonic())

    def stuck_s(self) -> float:
        """How long the thread has been at its batch, or piece of a file; 0 where it is idle."""
        return 0.0 if self._began_s is None else time.monotonic() - self._began_s

    def drain(self) -> None:
        """Take no more jobs: each `attend` returns once what it has running is delivered. Files go on."""
        self._draining.set()

    async def close(self) -> None:
        """Drain, wait for what the thread is at, and stop."""
        self.drain()
        self._closed = True
        self._changed.set()
        if self._running:
            await self._running
        for piece in self._pieces:
            _fail(piece, _closed())
        self._pieces.clear()
        self._thread.shutdown()

    # What comes in.

    def _start(self) -> "asyncio.Task[None]":
        if self._running is None and not self._closed:
            self._running = asyncio.create_task(self._run())
        if self._running is None or self._running.done() or self._closed:
            raise _closed()
        return self._running

    async def _take(self, attended: Lease) -> None:
        while (jobs := await attended.source.next_jobs(attended.lease)) is not None:
            for job in jobs:
                self._add(attended, job)

    def _add(self, attended: Lease, job: Job) -> None:
        now_s = time.monotonic()
        ticket = Ticket(
            session=attended.key(job),
            number=job.number,
            group=self._decoder.group(job),
            final=job.mode is not DecodeMode.PARTIAL,
            deadline_s=now_s + job.due_in_s,
            payload=Asked(attended, job),
        )
        attended.queued.add(ticket.session)
        if old := self._scheduler.add(ticket, now_s):
            old.payload.source.answer(old.payload.job, None, superseded=True)
            self._observe("superseded", 1.0)
        self._changed.set()

    def _forget(self, attended: Lease) -> None:
        for key in attended.queued:
            self._scheduler.cancel(key)
        attended.queued.clear()

    async def _transcribe(self, clips: list[Pcm], options: DecodingOptions) -> list[engines.DecodingResult]:
        self._start()
        heard: asyncio.Future[list[engines.DecodingResult]] = asyncio.get_running_loop().create_future()
        self._pieces.append(Piece(clips, options, time.monotonic(), heard))
        self._changed.set()
        return await heard

    # What goes to the thread, one after another.

    async def _run(self) -> None:
        turn = False  # of a piece that has waited long
        while not self._closed:
            self._changed.clear()
            now_s = time.monotonic()
            late = bool(self._pieces) and now_s >= self._pieces[0].arrived_s + self._options.patience_s
            if not (late and turn) and (batch := self._scheduler.take(now_s)):
                await self._run_batch(batch, now_s)
                turn = True
            elif self._pieces:
                await self._run_piece(self._pieces.popleft())
                turn = False
            else:
                await self._wait(self._scheduler.ready_s(now_s))

    async def _wait(self, until_s: float | None) -> None:
        """Until a batch is ready, or something new comes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if until_s is None else max(0.0, until_s - time.monotonic())):
                await self._changed.wait()

    async def _run_batch(self, batch: list[Ticket[Asked]], now_s: float) -> None:
        for ticket in batch:
            ticket.payload.source.queued.discard(ticket.session)
            ticket.payload.source.running += 1
            self._observe("queue_delay_s", now_s - ticket.arrived_s)
        self._observe("batch_size", len(batch))
        hypotheses = await self._decode([t.payload.job for t in batch])
        self._observe("decode_s", time.monotonic() - now_s)
        self._scheduler.finish(batch)
        for ticket, hypothesis in zip(batch, hypotheses, strict=True):
            ticket.payload.source.running -= 1
            ticket.payload.source.answer(ticket.payload.job, hypothesis)

    async def _decode(self, jobs: list[Job]) -> list[Hypothesis | None]:
        """What the thread hears; None for each job where it raises."""
        try:
            hypotheses = await self._in_thread(lambda: self._decoder.decode(jobs))
            if len(hypotheses) != len(jobs):
                raise RuntimeError(f"expected {len(jobs)} hypotheses, and {len(hypotheses)} came.")
        except Exception:  # whatever it is, the sessions are told and the service goes on
            log.exception("a batch of %d could not be decoded", len(jobs))
            return [None] * len(jobs)
        return hypotheses

    async def _run_piece(self, piece: Piece) -> None:
        if piece.heard.done():  # nobody waits for it any more
            return
        try:
            heard = await self._in_thread(lambda: self._decoder.transcribe(piece.clips, piece.options))
        except Exception as e:  # it is the caller's
            _fail(piece, e)
        else:
            if not piece.heard.done():
                piece.heard.set_result(heard)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        self._began_s = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        finally:
            self._began_s = None


def _closed() -> ServiceError:
    return ServiceError("expected a running transcriber, and it was closed; ask another.")


def _fail(piece: Piece, error: Exception) -> None:
    if not piece.heard.done():
        piece.heard.set_exception(error)


async def _ended(*tasks: "asyncio.Task[object]") -> None:
    """Cancel `tasks` that are not done, and say why others failed: their source is gone."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            log.warning("a source is no longer attended: %s: %s", type(result).__name__, result)
