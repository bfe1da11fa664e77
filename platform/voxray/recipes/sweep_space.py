"""The pure parts of a sweep: which trials it has, whether they fit the cluster, and which are the best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

from voxray.errors import ConfigError

TRIAL_CPUS = 0.01  # of the actor that drives a trial; Ray refuses 0, and with Tune's default of 1 the trials
# hold all CPUs of a small cluster while their workers wait for some (measured, Ray 2.60)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What differs between the trials of a sweep; the fields are keys of `DistilConfig`."""

    learning_rate: float
    wer_threshold: float | None
    decoder_layers: int | tuple[int, ...]
    kl_weight: float

    def to_dict(self) -> dict[str, Any]:
        """Return the keys and values."""
        return asdict(self)


def trial_name(index: int) -> str:
    """Return the name of a trial and of its folder."""
    return f"trial-{index:03d}"


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """Bounds of the learning rate, and the choices of the rest."""

    learning_rate: tuple[float, float]
    wer_threshold: Sequence[float | None]
    decoder_layers: Sequence[int | tuple[int, ...]]
    kl_weight: Sequence[float]

    def sample(self, trials: int, seed: int) -> list[Hyperparameters]:
        """Draw `trials` points, the same ones for the same seed.

        The learning rate is log-uniform and stratified (McKay et al. 1979): each of `trials` equal parts of
        the logarithmic range has one point. Each choice of the others occurs as often as any other, or once
        more.
        """
        rng = np.random.default_rng(seed)
        low, high = np.log(self.learning_rate)
        places = (rng.permutation(trials) + rng.random(trials)) / trials
        rates = [_rounded(math.exp(low + (high - low) * float(u)), self.learning_rate) for u in places]
        thresholds = _balanced(self.wer_threshold, trials, rng)
        layers = _balanced(self.decoder_layers, trials, rng)
        weights = _balanced(self.kl_weight, trials, rng)
        return [Hyperparameters(*point) for point in zip(rates, thresholds, layers, weights, strict=True)]


def _rounded(rate: float, bounds: tuple[float, float]) -> float:
    """Round to three digits, within `bounds`."""
    return min(max(float(f"{rate:.3g}"), bounds[0]), bounds[1])


def _balanced(choices: Sequence[T], count: int, rng: np.random.Generator) -> list[T]:
    rounds = -(-count // len(choices))
    order = [int(i) for _ in range(rounds) for i in rng.permutation(len(choices))]
    return [choices[i] for i in order[:count]]


@dataclass(frozen=True, slots=True)
class Demand:
    """What a sweep asks of the cluster: `max_concurrent` trials at a time, with `workers` workers each."""

    max_concurrent: int
    workers: int
    cpus_per_worker: float

    @property
    def trial_cpus(self) -> float:
        """CPUs of one trial: its driver and its workers."""
        return TRIAL_CPUS + self.workers * self.cpus_per_worker

    def check(self, nodes: Sequence[Mapping[str, float]]) -> None:
        """Raise ConfigError unless the trials fit `nodes` (their resources) at the same time.

        A trial is admitted for its driver alone, and that then asks for the workers. Where more trials are
        admitted than have room for their workers, Ray waits for ever without a word.
        """
        cpus, gpus = _total(nodes, "CPU"), _total(nodes, "GPU")
        fitting = self._fitting_cpus(nodes)
        if fitting < 1:
            raise ConfigError(
                f"workers={self.workers} cpus_per_worker={self.cpus_per_worker:g}: expected a cluster with "
                f"{self.trial_cpus:g} CPUs for one trial, got {cpus:g}; "
                "set workers=1 or lower cpus_per_worker."
            )
        resource = "CPUs"
        if gpus >= self.workers and gpus // self.workers < fitting:  # trainer.py gives each worker a GPU
            fitting, resource = int(gpus // self.workers), "GPUs"
        if fitting < self.max_concurrent:
            each, got = (self.trial_cpus, cpus) if resource == "CPUs" else (self.workers, gpus)
            raise ConfigError(
                f"max_concurrent={self.max_concurrent}: expected a cluster with "
                f"{each * self.max_concurrent:g} {resource} for that many trials at a time "
                f"({each:g} each), got {got:g}; set max_concurrent={fitting}, because more trials would "
                "wait for each other's workers for ever."
            )

    def _fitting_cpus(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """Count the trials whose CPUs fit; a worker must fit one node."""
        slots = sum(int(node.get("CPU", 0.0) / self.cpus_per_worker + 1e-9) for node in nodes)
        return min(slots // self.workers, int(_total(nodes, "CPU") / self.trial_cpus + 1e-9))


def _total(nodes: Sequence[Mapping[str, float]], resource: str) -> float:
    return sum(node.get(resource, 0.0) for node in nodes)


def pareto_front(costs: Sequence[Sequence[float]]) -> list[bool]:
    """Say of each point whether no other is at least as low in every cost and lower in one."""

    def dominated(point: Sequence[float]) -> bool:
        return any(
            all(a <= b for a, b in zip(other, point, strict=True)) and tuple(other) != tuple(point)
            for other in costs
        )

    return [not dominated(point) for point in costs]
