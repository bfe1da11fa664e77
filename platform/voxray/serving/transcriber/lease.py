"""A transcriber's lease on a source: what is queued and running for it, and its answers on their way."""

import asyncio
from dataclasses import dataclass, field

from voxray.serving.protocol import Answer, Job, JobSource, Preload, SessionError
from voxray.streaming.events import Hypothesis


@dataclass(eq=False, slots=True)
class Lease:
    """A lease on `source`. Answers go out in the order they were given; all that wait go in one call.

    `id` is the source's own. `number` is this side's: ids and sessions of two hosts may
    have the same names. Run `deliver` until it returns; `end` lets it.
    """

    number: int
    source: JobSource
    id: int
    queued: set[str] = field(default_factory=set)  # session keys
    running: int = 0
    _ending: bool = False
    _answers: list[Answer] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def key(self, job: Job | Preload) -> str:
        """Return a name for what may wait once for a session; it differs from all those of other leases."""
        kind = "preload/" if isinstance(job, Preload) else ""
        return f"{self.number}/{kind}{job.session}"

    def answer(self, job: Job, hypothesis: Hypothesis | None, queued_s: float = 0.0) -> None:
        """Queue the result of `job`, which waited `queued_s` for others, for delivery."""
        self._answers.append(Answer(job.session, job.number, hypothesis, queued_s))
        self._changed.set()

    def fail(self, job: Job | Preload, error: SessionError) -> None:
        """Queue `error` for the session of `job`, which it ends, for delivery."""
        self._answers.append(Answer(job.session, 0, None, error=error))
        self._changed.set()

    def end(self) -> None:
        """Let `deliver` return once what is running has been delivered."""
        self._ending = True
        self._changed.set()

    async def deliver(self) -> None:
        """Deliver answers until `end`. Raises what the source raises when it is gone."""
        while not self._ending or self.running or self._answers:
            await self._changed.wait()
            self._changed.clear()
            answers, self._answers = self._answers, []
            if answers:
                await self.source.deliver(self.id, answers)
