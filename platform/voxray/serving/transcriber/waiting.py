"""Jobs whose models are being loaded."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from voxray.errors import ServiceError
from voxray.serving.protocol import Job, Preload, SessionError
from voxray.serving.transcriber.lease import Lease
from voxray.serving.transcriber.models import LoadedModel, ModelCache


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """What waits for its model, and the lease through which it is answered."""

    lease: Lease
    job: Job | Preload


@dataclass(frozen=True, slots=True)
class LeasedJob:
    """A job, the lease through which it is answered, and its model."""

    lease: Lease
    job: Job
    model: LoadedModel


Receive = Callable[[WaitingJob, LoadedModel], None]


class WaitingJobs:
    """The newest job of each session whose model is being loaded. Call `close` at the end.

    `receive` is called for each job when its model is loaded, `supersede` for each that a newer one replaced.
    The sessions of a model that cannot be loaded are told so through their leases.
    """

    def __init__(self, models: ModelCache, receive: Receive, supersede: Callable[[Lease, Job], None]) -> None:
        self._models, self._receive, self._supersede = models, receive, supersede
        self._waiting: dict[str, WaitingJob] = {}  # by the keys of their sessions
        self._loading: dict[str, asyncio.Task[None]] = {}

    def put(self, waiting: WaitingJob) -> None:
        """Let a job wait, in the place of an older one of its session. Its model is not the default."""
        key, name = waiting.lease.key(waiting.job), str(waiting.job.model)
        waiting.lease.queued.add(key)
        if (old := self._waiting.get(key)) and isinstance(old.job, Job):
            self._supersede(old.lease, old.job)
        self._waiting[key] = waiting
        if name not in self._loading:
            self._loading[name] = asyncio.create_task(self._load(name))

    def forget(self, key: str) -> None:
        """Drop the job of a session, if one waits."""
        self._waiting.pop(key, None)

    def close(self) -> None:
        """Let no job wait any longer."""
        for task in self._loading.values():
            task.cancel()

    async def _load(self, name: str) -> None:
        try:
            model = await self._models.load(name)
        except ServiceError as e:
            for waiting in self._pop_all(name):
                waiting.lease.fail(waiting.job, SessionError("model_unavailable", str(e)))
            return
        for waiting in self._pop_all(name):
            self._receive(waiting, model)
        model.release()

    def _pop_all(self, name: str) -> list[WaitingJob]:
        """Remove and return the jobs that wait for a model, which is no longer being loaded."""
        del self._loading[name]
        found = [item for item in self._waiting.items() if item[1].job.model == name]
        for key, waiting in found:
            del self._waiting[key]
            waiting.lease.queued.discard(key)
        return [waiting for _, waiting in found]
