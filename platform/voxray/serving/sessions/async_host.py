"""A host that asyncio callers share: gateways tick it, a transcriber takes its jobs and delivers answers.

One transcriber holds the lease at a time. A new lease begins where the old one's holder died or drained: what
that had taken and not answered is handed out again.
"""

import asyncio
import time
from collections.abc import Callable

from voxray.serving.protocol import Answer, Call, Job, Opened, Opening, Refused, Reply
from voxray.serving.sessions.host import SessionHost

TAKE_S = 1.0  # a take without work answers after this, so that a dead caller is not waited for
SWEEP_S = 0.25


class AsyncHost:
    """`calls.Host` for gateways and `calls.Source` for transcribers, around one `SessionHost`."""

    def __init__(self, host: SessionHost, clock: Callable[[], float] = time.monotonic) -> None:
        self._host = host
        self._clock = clock
        self._lease = 0
        self._work = asyncio.Event()

    async def open(self, opening: Opening) -> Opened | Refused:
        """A new session, or one that is resumed."""
        return self._host.open(opening, self._clock())

    async def tick(self, call: Call) -> Reply:
        """Input and output of all of a gateway's connections."""
        reply = self._host.tick(call, self._clock())
        self._notify()
        return reply

    def new_lease(self) -> int:
        """The number of a lease that ends the one before; what that left unanswered is queued again."""
        self._lease += 1
        self._host.requeue(self._clock())
        self._work.set()  # whoever waits under the old lease learns that it is over
        return self._lease

    async def take(self, lease: int) -> list[Job] | None:
        """The jobs since the last call, waited for up to `TAKE_S`; None where the lease is over."""
        until_s = self._clock() + TAKE_S
        while lease == self._lease:
            self._work.clear()
            jobs = self._host.jobs(self._clock())
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
        """Answers to jobs of the lease that holds; others come too late."""
        if lease == self._lease:
            self._host.receive(answers, self._clock())
            self._notify()

    async def sweep(self) -> None:
        """Let time go by for sessions that nobody calls for; runs until it is cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self._host.sweep(self._clock())
            self._notify()

    def _notify(self) -> None:
        if self._host.queued:
            self._work.set()
