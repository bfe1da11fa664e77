"""A host that asyncio callers share: gateways tick it, a transcriber fetches jobs and delivers answers.

One transcriber holds the lease at a time. A new lease begins when the old one's holder died or drained: the
jobs that it left unanswered are handed out again.
"""

import asyncio
import time
from collections.abc import Callable, Iterator

from voxray.serving.protocol import Answer, Call, HandedOver, ModelsInUse, Opened, Opening, Refused, Reply
from voxray.serving.sessions.host import SessionHost

NEXT_JOBS_S = 1.0  # `next_jobs` returns after this without jobs, so that a dead caller is soon noticed
SWEEP_S = 0.25


class AsyncHost:
    """A `protocol.Host` for gateways and a `protocol.JobSource` for transcribers, around one `SessionHost`.

    `sweep` must run beside it. `called_s`: when a gateway last called, or when this was made.
    """

    def __init__(self, host: SessionHost, clock: Callable[[], float] = time.monotonic) -> None:
        self.called_s = clock()
        self._host = host
        self._clock = clock
        self._lease = 0
        self._models_told = frozenset[str]()  # under the present lease
        self._work = asyncio.Event()

    async def open(self, opening: Opening) -> Opened | Refused:
        """Open a new session, or resume one."""
        self.called_s = self._clock()
        opened = self._host.open(opening, self.called_s)
        self._notify()
        return opened

    async def tick(self, call: Call) -> Reply:
        """Exchange the input and output of all of a gateway's connections."""
        self.called_s = self._clock()
        reply = self._host.tick(call, self.called_s)
        self._notify()
        return reply

    def new_lease(self) -> int:
        """Begin a lease, and return its number; the last one ends, and its unanswered jobs wait again."""
        self._lease += 1
        self._models_told = frozenset()
        self._host.requeue(self._clock())
        self._work.set()  # so that `next_jobs` of the old lease returns
        return self._lease

    async def next_jobs(self, lease: int) -> list[HandedOver] | None:
        """Wait up to `NEXT_JOBS_S` for jobs and return them; return None once the lease is over."""
        until_s = self._clock() + NEXT_JOBS_S
        while lease == self._lease:
            self._work.clear()
            jobs: list[HandedOver] = [
                *self._changed_models(),
                *self._host.preloads(),
                *self._host.jobs(self._clock()),
            ]
            left_s = until_s - self._clock()
            if jobs or left_s <= 0:
                return jobs
            try:
                async with asyncio.timeout(left_s):
                    await self._work.wait()
            except TimeoutError:
                return []
        return None

    async def deliver(self, lease: int, answers: list[Answer]) -> None:
        """Receive answers under the present lease; those under an older one are ignored."""
        if lease == self._lease:
            self._host.receive_answers(answers, self._clock())
            self._notify()

    async def sweep(self) -> None:
        """Advance all sessions, also those that no gateway calls for, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self._host.sweep(self._clock())
            self._notify()

    def _changed_models(self) -> Iterator[ModelsInUse]:
        """Yield the models in use, if the holder of the lease does not know them."""
        models = self._host.models_in_use
        if models != self._models_told:
            self._models_told = models
            yield ModelsInUse(models)

    def _notify(self) -> None:
        if self._host.queued:
            self._work.set()
