"""A source that a transcriber attends: what it has queued and running, and the answers on their way to it."""

import asyncio
from dataclasses import dataclass, field

from voxray.serving.protocol import Answer, Job, Source
from voxray.streaming.events import Hypothesis


@dataclass(eq=False, slots=True)
class Lease:
    """A lease on `source`. Answers go out in the order in which they came, all that wait in one call.

    `number` is this side's own: leases of two hosts may be equal, and their sessions are not the same.
    """

    number: int
    source: Source
    lease: int
    queued: set[str] = field(default_factory=set)  # session keys
    running: int = 0
    _ending: bool = False
    _answers: list[Answer] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def key(self, job: Job) -> str:
        """The session of `job`, unlike any of another attendance."""
        return f"{self.number}/{job.session}"

    def answer(self, job: Job, hypothesis: Hypothesis | None, *, superseded: bool = False) -> None:
        """Deliver what became of `job` as soon as can be."""
        self._answers.append(Answer(job.session, job.number, hypothesis, superseded))
        self._changed.set()

    def end(self) -> None:
        """Let `deliver` return once it has delivered what is running."""
        self._ending = True
        self._changed.set()

    async def deliver(self) -> None:
        """Deliver until the end. Raises what the source raises: it is gone."""
        while not self._ending or self.running or self._answers:
            await self._changed.wait()
            self._changed.clear()
            answers, self._answers = self._answers, []
            if answers:
                await self.source.deliver(self.lease, answers)
