"""Decides which decodes run next, in which batch: pure, its clock an argument.

Finals come before partials, and among either the earliest deadline first; a partial that is late by
`patience_s` counts as a final, so that none waits for ever. A batch holds what may share one (`Group`), led
by the most urgent request, and partials only up to `max_partials` in all: whoever waits behind it waits for
them too. It is ready when it is full, when its oldest request has waited `fill_s`, or when its leader's
deadline has come. A session has at most one request running and one queued: a newer one takes the place of
the queued one, with its arrival and its deadline if that is earlier, so that it is not set back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from voxray.errors import ConfigError

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Group:
    """What the requests of one batch share; their forced prefixes may differ.

    `previous_tokens`: the length of the text before the start token, which stands at one index in all of
    them. `task_tokens`: how many follow it. `window_s`: the length that audio is padded to. `model`: the name
    of the model that decodes them; None for the default.
    """

    previous_tokens: int
    task_tokens: int
    window_s: float
    temperature: float = 0.0
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Ticket(Generic[P]):
    """One decode of a session. `number` grows with each request of the session; times in seconds.

    `arrived_s` is set by the scheduler: when this request came, or the first of those that it replaced.
    """

    session: str
    number: int
    group: Group
    final: bool
    deadline_s: float
    payload: P
    arrived_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """Batches of at most `max_batch`, those with partials of at most `max_partials`; times in seconds."""

    max_batch: int = 16
    max_partials: int = 16
    fill_s: float = 0.02
    patience_s: float = 5.0

    def __post_init__(self) -> None:
        """Raise ConfigError naming the options where one is out of range."""
        if self.max_batch < 1 or self.max_partials < 1 or self.fill_s < 0 or self.patience_s < 0:
            raise ConfigError(
                "max_batch, max_partials, fill_s, patience_s: expected at least 1, 1, 0 and 0, got "
                f"{self.max_batch}, {self.max_partials}, {self.fill_s:g} and {self.patience_s:g}."
            )


@dataclass(slots=True)
class Scheduler(Generic[P]):
    """The queue of one transcriber. Each ticket comes out once: in a batch, superseded, or cancelled.

    Each batch from `pop_batch` must be given back to `finish`: until then its sessions do not run again.
    """

    options: SchedulerOptions = field(default_factory=SchedulerOptions)
    _queued: dict[str, Ticket[P]] = field(default_factory=dict)
    _running: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        """Return how many tickets wait."""
        return len(self._queued)

    def add(self, ticket: Ticket[P], now_s: float) -> Ticket[P] | None:
        """Queue `ticket`.

        Return the superseded ticket: the queued one, or `ticket` itself if a newer one is queued.
        """
        old = self._queued.get(ticket.session)
        if old and old.number > ticket.number:
            return ticket
        arrived_s = old.arrived_s if old else now_s
        deadline_s = min(ticket.deadline_s, old.deadline_s) if old else ticket.deadline_s
        self._queued[ticket.session] = replace(ticket, arrived_s=arrived_s, deadline_s=deadline_s)
        return old

    def pop_batch(self, now_s: float) -> list[Ticket[P]]:
        """Return the next batch, most urgent first; empty if none is ready. It runs until `finish`."""
        batch = self._next_batch(now_s)
        if not batch or self._ready_s(batch) > now_s:
            return []
        for ticket in batch:
            del self._queued[ticket.session]
            self._running.add(ticket.session)
        return batch

    def finish(self, tickets: Iterable[Ticket[P]]) -> None:
        """Let the sessions of `tickets` run again: these were decoded, or failed."""
        self._running.difference_update(t.session for t in tickets)

    def cancel(self, session: str) -> Ticket[P] | None:
        """Remove and return the ticket that a session has queued, if any."""
        return self._queued.pop(session, None)

    def ready_s(self, now_s: float) -> float | None:
        """Return when the next batch will be ready if nothing more comes; None if nothing can run."""
        batch = self._next_batch(now_s)
        return self._ready_s(batch) if batch else None

    def delay_s(self, now_s: float) -> float:
        """Return how long the oldest ticket has waited."""
        return max((now_s - t.arrived_s for t in self._queued.values()), default=0.0)

    def _next_batch(self, now_s: float) -> list[Ticket[P]]:
        free = [t for s, t in self._queued.items() if s not in self._running]
        if not free:
            return []
        leader = min(free, key=lambda t: self._urgency(t, now_s))
        alike = sorted((t for t in free if t.group == leader.group), key=lambda t: self._urgency(t, now_s))
        urgent = sum(self._is_urgent(t, now_s) for t in alike)
        return alike[: min(self.options.max_batch, max(urgent, self.options.max_partials))]

    def _is_urgent(self, ticket: Ticket[P], now_s: float) -> bool:
        return ticket.final or now_s >= ticket.deadline_s + self.options.patience_s

    def _urgency(self, ticket: Ticket[P], now_s: float) -> tuple[bool, float, float]:
        return not self._is_urgent(ticket, now_s), ticket.deadline_s, ticket.arrived_s

    def _ready_s(self, batch: list[Ticket[P]]) -> float:
        if len(batch) >= min(self.options.max_batch, self.options.max_partials):
            return min(t.arrived_s for t in batch)
        return min(batch[0].deadline_s, min(t.arrived_s for t in batch) + self.options.fill_s)
