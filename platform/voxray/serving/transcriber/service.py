"""asyncio around the scheduler and its decode threads: live jobs of leased sources, and files between them.

    JobSource.next_jobs --> Scheduler --batch--> threads --answers--> JobSource.deliver, while the next runs
    transcribe --file batches--> queue ------> threads

A job whose model is not loaded waits until it is, while the batches of other models go on (`models`).
A batch of a file runs when no live batch is ready; one that has waited for `file_patience_s` takes turns with
live batches. So a live batch waits for one of a file at most, and files make progress under any load.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from voxray.audio import Pcm
from voxray.errors import ServiceError
from voxray.serving.observe import Observe, unobserved
from voxray.serving.protocol import (
    HandedOver,
    Job,
    JobSource,
    ModelDescription,
    ModelsInUse,
    SessionError,
    unknown_language,
)
from voxray.serving.transcriber.lease import Lease
from voxray.serving.transcriber.models import BatchDecoder, LoadedModel, ModelCache
from voxray.serving.transcriber.scheduler import Scheduler, SchedulerOptions, Ticket
from voxray.serving.transcriber.waiting import LeasedJob, WaitingJob, WaitingJobs
from voxray.streaming.events import DecodeMode, Hypothesis
from voxray.whisper.engines import DecodingOptions, DecodingResult

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileBatch:
    """Some clips of a file, and the model that they have acquired; `results` is set in the end."""

    model: LoadedModel
    clips: list[Pcm]
    options: DecodingOptions
    arrived_s: float
    results: "asyncio.Future[list[DecodingResult]]"


class DecodeService:
    """Serves a default model, and those of `models` by their names.

    It belongs to the event loop in which it is first used.

    `observe` is called with `queue_delay_s` of each job, `batch_size` and `decode_s` of each batch, and
    `superseded` (1) for each job that a newer one replaced, and `failed_batches` (1) for each batch that
    raised. `released_s`: how long a running batch is waited for when a lease ends, since the answers to a
    lease that was given back are still of use. `workers` batches are decoded at a time.
    `file_patience_s`: how long a batch of a file lets live batches go first.
    Call `close` at the end.
    """

    def __init__(
        self,
        decoder: BatchDecoder,
        options: SchedulerOptions | None = None,
        observe: Observe = unobserved,
        *,
        models: ModelCache | None = None,
        workers: int = 1,
        released_s: float = 5.0,
        file_patience_s: float = 1.0,
    ) -> None:
        self._default, self._models = LoadedModel(decoder), models or ModelCache()
        self._waiting = WaitingJobs(self._models, self._receive, self._supersede)
        self._options = options or SchedulerOptions()
        self._observe = observe
        self._released_s, self._file_patience_s = released_s, file_patience_s
        self._scheduler = Scheduler[LeasedJob](self._options)
        self._files: deque[FileBatch] = deque()
        self._files_turn = False  # once one has waited long
        self._workers = workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._leases = 0
        self._running: asyncio.Task[None] | None = None
        self.failed_batches = 0  # of sessions, one after another until now
        self._began_s: dict[int, float] = {}  # when each call that runs in a thread began
        self._changed = asyncio.Event()
        self._draining = asyncio.Event()
        self._closed = False

    async def serve(self, source: JobSource, lease_id: int) -> None:
        """Decode the jobs of `source` until its lease is over, it is gone, or the service drains.

        What is then queued is dropped unanswered: a host gives it to its next transcriber. What runs is
        delivered, unless the source is gone; after the end of a lease for at most `released_s`.
        """
        running = self._start()
        if self._draining.is_set():
            return
        self._leases += 1
        lease = Lease(self._leases, source, lease_id)
        taking = asyncio.create_task(self._receive_jobs(lease))
        delivering = asyncio.create_task(lease.deliver())
        draining = asyncio.create_task(self._draining.wait())
        try:
            ends = (taking, delivering, draining, running)
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            released = taking.done() and taking.exception() is None
            taking.cancel()
            self._forget(lease)
            if draining.done() or released:
                lease.end()
                await asyncio.wait({delivering}, timeout=None if draining.done() else self._released_s)
        finally:
            self._forget(lease)
            self._models.end_lease(lease.number)
            await _cancelled(taking, delivering, draining)

    @property
    def descriptions(self) -> Mapping[str | None, ModelDescription]:
        """The loaded models, by name; None is the default."""
        found: dict[str | None, ModelDescription] = {None: self._default.decoder.description}
        found.update(self._models.descriptions.items())
        return found

    async def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions | None = None, model: str | None = None
    ) -> list[DecodingResult]:
        """Transcribe the clips of a file, each at most 30 s, in order, with `model` or the default.

        Raises AudioError for a longer clip, ServiceError where the model cannot be loaded, or the service is
        closed before the end.
        """
        options = options or DecodingOptions()
        found: dict[int, DecodingResult] = {}
        for indices in await self._file_batches(clips, model):
            results = await self._transcribe([clips[i] for i in indices], options, model)
            found.update(zip(indices, results, strict=True))
        return [found[i] for i in range(len(clips))]

    def delay_s(self) -> float:
        """Return how long the oldest job, or batch of a file, has waited."""
        file_s = time.monotonic() - self._files[0].arrived_s if self._files else 0.0
        return max(self.live_delay_s(), file_s)

    def live_delay_s(self) -> float:
        """Return how long the oldest job has waited."""
        return self._scheduler.delay_s(time.monotonic())

    def stuck_s(self) -> float:
        """Return how long the oldest call in a thread has run; 0 if none is."""
        return time.monotonic() - min(self._began_s.values()) if self._began_s else 0.0

    def drain(self) -> None:
        """Take no more jobs: each `serve` returns once what it has running is delivered. Files go on."""
        self._draining.set()

    async def close(self) -> None:
        """Drain, wait for the calls in the threads, and stop."""
        self.drain()
        self._closed = True
        self._changed.set()
        self._waiting.close()
        if self._running:
            await self._running
        for batch in self._files:
            _fail(batch, _closed())
        self._files.clear()
        self._threads.shutdown()

    def _start(self) -> "asyncio.Task[None]":
        if self._running is None and not self._closed:
            self._running = asyncio.create_task(self._run())
        if self._running is None or self._running.done() or self._closed:
            raise _closed()
        return self._running

    async def _receive_jobs(self, lease: Lease) -> None:
        while (handed := await lease.source.next_jobs(lease.id)) is not None:
            for item in handed:
                self._receive_item(lease, item)

    def _receive_item(self, lease: Lease, item: HandedOver) -> None:
        if isinstance(item, ModelsInUse):
            self._models.use(lease.number, item.models)
        elif model := self._find(item.model):
            self._receive(WaitingJob(lease, item), model)
        else:
            self._waiting.put(WaitingJob(lease, item))

    def _receive(self, waiting: WaitingJob, model: LoadedModel) -> None:
        """Queue a job whose model is loaded, or check that the model knows the session's language."""
        lease, job = waiting.lease, waiting.job
        if isinstance(job, Job):
            return self._add(LeasedJob(lease, job, model))
        known = model.decoder.description.languages
        if job.language is not None and job.language not in known:
            lease.fail(job, SessionError("bad_message", unknown_language(job.language, known)))

    def _find(self, name: str | None) -> LoadedModel | None:
        return self._default if name is None else self._models.find(name)

    async def _acquired(self, name: str | None) -> LoadedModel:
        """As `ModelCache.load`, also for the default."""
        return self._default.acquire() if name is None else await self._models.load(name)

    def _add(self, leased: LeasedJob) -> None:
        now_s, lease, job = time.monotonic(), leased.lease, leased.job
        leased.model.acquire()
        ticket = Ticket(
            session=lease.key(job),
            number=job.number,
            group=replace(leased.model.decoder.group(job), model=job.model),
            final=job.mode is not DecodeMode.PARTIAL,
            deadline_s=now_s + job.due_in_s,
            payload=leased,
        )
        lease.queued.add(ticket.session)
        if old := self._scheduler.add(ticket, now_s):
            old.payload.model.release()
            self._supersede(old.payload.lease, old.payload.job)
        self._changed.set()

    def _supersede(self, lease: Lease, job: Job) -> None:
        lease.answer(job, None)
        self._observe("superseded", 1.0)

    def _forget(self, lease: Lease) -> None:
        for key in lease.queued:
            self._waiting.forget(key)
            if ticket := self._scheduler.cancel(key):
                ticket.payload.model.release()
        lease.queued.clear()

    async def _file_batches(self, clips: Sequence[Pcm], name: str | None) -> list[list[int]]:
        model = await self._acquired(name)
        try:
            return list(model.decoder.file_batches(clips))
        finally:
            model.release()

    async def _transcribe(
        self, clips: list[Pcm], options: DecodingOptions, name: str | None
    ) -> list[DecodingResult]:
        model = await self._acquired(name)
        try:
            return await self._queue_file_batch(model, clips, options)
        finally:
            model.release()

    async def _queue_file_batch(
        self, model: LoadedModel, clips: list[Pcm], options: DecodingOptions
    ) -> list[DecodingResult]:
        self._start()
        results: asyncio.Future[list[DecodingResult]] = asyncio.get_running_loop().create_future()
        self._files.append(FileBatch(model, clips, options, time.monotonic(), results))
        self._changed.set()
        return await results

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._workers):
                    workers.create_task(self._work())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _work(self) -> None:
        while not self._closed:
            self._changed.clear()
            now_s = time.monotonic()
            late = bool(self._files) and now_s >= self._files[0].arrived_s + self._file_patience_s
            if not (late and self._files_turn) and (batch := self._scheduler.pop_batch(now_s)):
                self._files_turn = True
                await self._run_batch(batch, now_s)
            elif self._files:
                self._files_turn = False
                await self._run_file_batch(self._files.popleft())
            else:
                await self._wait(self._scheduler.ready_s(now_s))

    async def _wait(self, until_s: float | None) -> None:
        """Wait until a batch is ready, or a job or file arrives."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if until_s is None else max(0.0, until_s - time.monotonic())):
                await self._changed.wait()

    async def _run_batch(self, batch: list[Ticket[LeasedJob]], now_s: float) -> None:
        for ticket in batch:
            ticket.payload.lease.queued.discard(ticket.session)
            ticket.payload.lease.running += 1
            self._observe("queue_delay_s", now_s - ticket.arrived_s)
        self._observe("batch_size", len(batch))
        hypotheses = await self._decode(batch[0].payload.model.decoder, [t.payload.job for t in batch])
        self._observe("decode_s", time.monotonic() - now_s)
        self._scheduler.finish(batch)
        self._changed.set()  # other workers wait for its sessions
        for ticket, hypothesis in zip(batch, hypotheses, strict=True):
            ticket.payload.lease.running -= 1
            ticket.payload.model.release()
            queued_s = max(0.0, now_s - ticket.arrived_s - self._options.fill_s)
            ticket.payload.lease.answer(ticket.payload.job, hypothesis, queued_s)

    async def _decode(self, decoder: BatchDecoder, jobs: list[Job]) -> list[Hypothesis | None]:
        """Return the hypotheses of a decode thread; None for each job where it raises."""
        try:
            hypotheses = await self._in_thread(lambda: decoder.decode(jobs))
            if len(hypotheses) != len(jobs):
                raise RuntimeError(f"expected {len(jobs)} hypotheses, got {len(hypotheses)}.")
        except Exception:  # of whatever kind: its jobs count as failed, and the service goes on
            log.exception("a batch of %d could not be decoded", len(jobs))
            self.failed_batches += 1
            self._observe("failed_batches", 1.0)
            return [None] * len(jobs)
        self.failed_batches = 0
        return hypotheses

    async def _run_file_batch(self, batch: FileBatch) -> None:
        if batch.results.done():  # the caller was cancelled
            return
        try:
            decoder = batch.model.acquire().decoder  # the caller may be cancelled meanwhile
            results = await self._in_thread(lambda: decoder.transcribe(batch.clips, batch.options))
        except Exception as e:  # raised where it was called
            _fail(batch, e)
        else:
            if not batch.results.done():
                batch.results.set_result(results)
        finally:
            batch.model.release()

    async def _in_thread(self, call: Callable[[], T]) -> T:
        key = id(call)
        self._began_s[key] = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        finally:
            del self._began_s[key]


def _closed() -> ServiceError:
    return ServiceError("expected a running transcriber, got one that is closed; ask another.")


def _fail(batch: FileBatch, error: Exception) -> None:
    if not batch.results.done():
        batch.results.set_exception(error)


async def _cancelled(*tasks: "asyncio.Task[object]") -> None:
    """Cancel `tasks` that are not done, and log why others failed: their source is gone."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            log.warning("a source is no longer served: %s: %s", type(result).__name__, result)
