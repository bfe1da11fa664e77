"""One client for a long time: whether memory and lag stay where they were."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.client_scores import Arrival, Spread, score_client
from tests.benchmarks.measuring import Conditions, parts, played, reading_at
from tests.benchmarks.recordings import Recording, Utterance
from tests.benchmarks.usage import Group, Meter, Reading

from voxray.wire import Ack

EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory at one time, and the worst lag that was told since the sample before it."""

    at_s: float
    uss_mb: Mapping[Group, float]
    lag_s: float


@dataclass(frozen=True, slots=True)
class Third:
    """A third of the time: means of the samples, and the latency to committed words."""

    uss_mb: Mapping[Group, float]
    lag_s: float
    committed: Spread


@dataclass(frozen=True, slots=True)
class Soak:
    """All of it. `errors` are the client's."""

    seconds: float
    samples: tuple[Sample, ...]
    first: Third
    last: Third
    errors: tuple[str, ...]

    @property
    def growth_mb(self) -> dict[Group, float]:
        """By how much memory is larger in the last third than in the first."""
        return {group: mb - self.first.uss_mb.get(group, 0.0) for group, mb in self.last.uss_mb.items()}


def soak(recordings: Sequence[Recording], conditions: Conditions, meter: Meter) -> Soak:
    """Let one client play for all of `conditions.seconds`."""
    playing = parts(recordings, 1, conditions)
    (record,), readings = played(
        playing, conditions, lambda begin_s, load: _readings(conditions.seconds, meter, begin_s, load)
    )
    arrivals = record.arrivals()
    samples = sampled(readings, arrivals)
    utterances = playing[0].played().utterances
    third_s = conditions.seconds / 3
    return Soak(
        seconds=conditions.seconds,
        samples=samples,
        first=third(samples, utterances, arrivals, 0.0, third_s),
        last=third(samples, utterances, arrivals, 2 * third_s, 3 * third_s),
        errors=(record.error,) if record.error else (),
    )


def _readings(seconds: float, meter: Meter, begin_s: float, load: list[int]) -> list[tuple[float, Reading]]:
    every_s = min(EVERY_S, seconds / 6)
    times_s = [every_s * i for i in range(1, int(seconds / every_s + 1e-6) + 1)]
    return [(at_s, reading_at(begin_s + at_s, meter, load, memory=True)) for at_s in times_s]


def sampled(readings: Sequence[tuple[float, Reading]], arrivals: Sequence[Arrival]) -> tuple[Sample, ...]:
    """Memory of `readings`, each with the lag told since the one before."""
    lags = [(a.at_s, a.message.lag_s) for a in arrivals if isinstance(a.message, Ack)]
    samples: list[Sample] = []
    before_s = 0.0
    for at_s, reading in readings:
        recent_s = (lag_s for sent_s, lag_s in lags if before_s < sent_s <= at_s)
        samples.append(Sample(at_s, reading.uss_mb(), max(recent_s, default=0.0)))
        before_s = at_s
    return tuple(samples)


def third(
    samples: Sequence[Sample],
    utterances: Sequence[Utterance],
    arrivals: Sequence[Arrival],
    from_s: float,
    to_s: float,
) -> Third:
    """What lies between two times."""
    own = [s for s in samples if from_s < s.at_s <= to_s]
    sums: defaultdict[Group, float] = defaultdict(float)
    for sample in own:
        for group, mb in sample.uss_mb.items():
            sums[group] += mb / len(own)
    spoken = [u for u in utterances if from_s < u.end_s <= to_s]
    score = score_client(spoken, arrivals)
    lag_s = sum(s.lag_s for s in own) / max(1, len(own))
    return Third(dict(sums), lag_s, Spread.of(score.committed_s))
