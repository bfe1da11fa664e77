"""The metrics of buffer actors and transcribers: sums for benchmarks, and Prometheus metrics through Ray."""

from collections import defaultdict
from dataclasses import dataclass

from ray.util.metrics import Counter, Histogram

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)

LOAD_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)

HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    "first_partial_s": ("From the arrival of an utterance's first speech to its first partial.", SECONDS),
    "answer_s": ("From a decode request to its answer.", SECONDS),
    "final_s": ("From the arrival of an utterance's last speech to its final.", SECONDS),
    "queue_delay_s": ("How long a window waited for its batch.", SECONDS),
    "decode_s": ("How long a batch took.", SECONDS),
    "batch_size": ("Windows in a batch.", SIZES),
    "model_load_s": ("How long a model took to load into memory.", LOAD_SECONDS),
}
COUNTERS = {
    "audio_s": "Seconds of audio that were received.",
    "opened": "Sessions that began.",
    "resumed": "Connections to a session that was there.",
    "failed": "Sessions that ended by a fault.",
    "dropped": "Sessions that no client resumed in time.",
    "recorded": "Finals that were stored with their audio, for correction.",
    "not_recorded": "Finals that could not be stored, by a slow, full or missing disk.",
    "failed_batches": "Batches that could not be decoded.",
    "superseded": "Windows that a newer one of the same session replaced before they were decoded.",
}


@dataclass(slots=True)
class Sum:
    """The sum of all values of one name."""

    count: int = 0
    total: float = 0.0
    largest: float = 0.0


class Observations:
    """Sums the values of each name, and exports those whose names are in `HISTOGRAMS` or `COUNTERS`."""

    def __init__(self) -> None:
        self.sums: defaultdict[str, Sum] = defaultdict(Sum)
        self._histograms = {
            name: Histogram(f"voxray_{name}", text, list(bounds))
            for name, (text, bounds) in HISTOGRAMS.items()
        }
        self._counters = {name: Counter(f"voxray_{name}", text) for name, text in COUNTERS.items()}

    def __call__(self, name: str, value: float) -> None:
        """Observe one value."""
        sum_ = self.sums[name]
        sum_.count += 1
        sum_.total += value
        sum_.largest = max(sum_.largest, value)
        if name in self._histograms:
            self._histograms[name].observe(value)
        elif name in self._counters and value > 0:
            self._counters[name].inc(value)

    def totals(self) -> dict[str, float]:
        """Return `NAME_count`, `NAME_sum` and `NAME_max` of all names so far."""
        return {
            f"{name}_{key}": value
            for name, s in self.sums.items()
            for key, value in (("count", s.count), ("sum", s.total), ("max", s.largest))
        }
