"""One measurement: so many clients at once, what they received, and what it cost."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TypeVar

from tests.benchmarks.client_scores import ClientScore, Spread, score_client
from tests.benchmarks.load import ClientRecord, Plan, carry_out
from tests.benchmarks.playing import NOISE_DBFS, Part
from tests.benchmarks.recordings import Recording
from tests.benchmarks.usage import Meter, Reading, Usage, between

from voxray.errors import ServiceError
from voxray.text import ErrorCounts
from voxray.wire import Start

STAGGER_S = 1.0  # within which all clients begin
SETTLED_S = 1.5  # after the first begins: from here on usage is measured
MOST_CLIENTS = 1024

T = TypeVar("T")

Compare = Callable[[Sequence[Part]], ErrorCounts]
"""The word errors of the same audio outside the service."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is the same for all numbers of clients."""

    url: str
    start: Start
    seconds: float = 60.0
    frame_ms: int = 100
    noise_dbfs: float = NOISE_DBFS
    seed: int = 0
    processes: int = 1

    @property
    def quiet_s(self) -> float:
        """Silence at the end: the endpoint, and time for the final."""
        return self.start.endpoint_range.max / 1000 + 1.4


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured with `clients` at once. `offline`: errors of the same audio outside the service."""

    recording: str
    clients: int
    seconds: float
    score: ClientScore
    errors: tuple[str, ...]
    late: Spread
    messages_per_s: float
    usage: Usage
    offline: ErrorCounts | None = None

    @property
    def committed(self) -> Spread:
        """Latency to committed words, in seconds."""
        return Spread.of(self.score.committed_s)

    @property
    def final(self) -> Spread:
        """Latency to finals, in seconds."""
        return Spread.of(self.score.final_s)

    @property
    def first_partial(self) -> Spread:
        """From an utterance's start to its first words, in seconds."""
        return Spread.of(self.score.first_partial_s)


def doubling() -> Iterator[int]:
    """1, 2, 4, ..."""
    clients = 1
    while clients <= MOST_CLIENTS:
        yield clients
        clients *= 2


def parts(recordings: Sequence[Recording], clients: int, conditions: Conditions) -> list[Part]:
    """What each client plays: the recordings in turn. A client plays the same, however many there are."""
    return [
        Part(
            recordings[i % len(recordings)],
            conditions.seconds,
            seed=conditions.seed * MOST_CLIENTS + i,
            delay_s=STAGGER_S * i / clients,
            noise_dbfs=conditions.noise_dbfs,
            quiet_s=conditions.quiet_s,
        )
        for i in range(clients)
    ]


def warm_up(recordings: Sequence[Recording], conditions: Conditions, seconds: float) -> None:
    """Let one client play for `seconds`; ServiceError with what it was told where it is not served."""
    part = Part(recordings[0], seconds, seed=MOST_CLIENTS - 1, quiet_s=conditions.quiet_s)
    plan = Plan(conditions.url, (part,), conditions.start, conditions.frame_ms)
    (record,), _ = carry_out([plan], lambda *_: None)
    if record.error:
        raise ServiceError(f"{conditions.url}: expected to be served, got an error: {record.error}.")


def measure(
    kind: str, playing: Sequence[Part], conditions: Conditions, meter: Meter, compare: Compare | None = None
) -> Row:
    """Let all of `playing` play at once, and score what they received."""
    records, usage = played(
        playing, conditions, lambda begin_s, load: _usage(conditions, meter, begin_s, load)
    )
    scores = [
        score_client(p.played().utterances, r.arrivals()) for p, r in zip(playing, records, strict=True)
    ]
    in_time = sum(at_s <= conditions.seconds for r in records for at_s, _ in r.messages)
    return Row(
        recording=kind,
        clients=len(playing),
        seconds=conditions.seconds,
        score=reduce(add, scores, ClientScore()),
        errors=tuple(r.error for r in records if r.error),
        late=Spread.of([late_s for r in records for late_s in r.late_s]),
        messages_per_s=in_time / conditions.seconds,
        usage=usage,
        offline=compare(playing) if compare else None,
    )


def played(
    playing: Sequence[Part], conditions: Conditions, measure_load: Callable[[float, list[int]], T]
) -> tuple[list[ClientRecord], T]:
    """Return a record for each of `playing`, in order, and what `measure_load` returns (`carry_out`)."""
    step = min(conditions.processes, len(playing))
    plans = [
        Plan(conditions.url, tuple(playing[i::step]), conditions.start, conditions.frame_ms)
        for i in range(step)
    ]
    records, measured = carry_out(plans, measure_load)
    order = [i for first in range(step) for i in range(first, len(playing), step)]
    return [r for _, r in sorted(zip(order, records, strict=True), key=lambda pair: pair[0])], measured


def _usage(conditions: Conditions, meter: Meter, begin_s: float, load: list[int]) -> Usage:
    settled_s = min(SETTLED_S, conditions.seconds / 4)
    before = reading_at(begin_s + settled_s, meter, load)
    end_s = max(settled_s, conditions.seconds - conditions.quiet_s)
    return between(before, reading_at(begin_s + end_s, meter, load, memory=True))


def reading_at(at_s: float, meter: Meter, load: list[int], *, memory: bool = False) -> Reading:
    """A reading at a time of time.monotonic()."""
    time.sleep(max(0.0, at_s - time.monotonic()))
    return meter.read(load, memory=memory)
