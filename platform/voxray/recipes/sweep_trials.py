"""What came of the trials of a sweep, read from their own folders, which a killed driver leaves whole."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

from voxray.corpora.store import Clip, ClipStore
from voxray.errors import TrainingError
from voxray.recipes.outcome import by_step
from voxray.recipes.sweep_space import Hyperparameters, pareto_front
from voxray.scoring.suites import stage_times
from voxray.training.run import STATE, RunOptions, read_checkpoint
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.export import convert

TIMED_CLIPS = 20
Status = Literal["finished", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One trial: its lowest WER on the dev clips in per cent, and what its model costs.

    `curve` is the WER after each number of steps. `decoder_ms` is the time of the decoder per clip, measured
    once for each shape of student; `pareto` says whether no trial has a model that is better in one of WER,
    parameters and decoder time and no worse in the others.
    """

    out: Path
    point: Hyperparameters
    kept: int
    parameters: int
    status: Status
    curve: tuple[tuple[int, float], ...]
    failure: str | None = None
    decoder_ms: float | None = None
    pareto: bool = False

    @property
    def name(self) -> str:
        """The trial's name."""
        return self.out.name

    @property
    def steps(self) -> int:
        """Steps until the last evaluation."""
        return max((step for step, _ in self.curve), default=0)

    @property
    def wer(self) -> float | None:
        """The lowest WER; None where nothing was evaluated."""
        return min((wer for _, wer in self.curve), default=None)

    @classmethod
    def read(
        cls, run: RunOptions, point: Hyperparameters, kept: int, parameters: int, failure: str | None
    ) -> Self:
        """Read the trial that ran as `run`; `failure` says why it failed, None where it did not."""
        curve = by_step(run.out, "wer")
        status: Status = "failed" if failure else "finished" if _ended(curve, run) else "stopped"
        return cls(run.out, point, kept, parameters, status, tuple(curve.items()), failure)


def _ended(curve: Mapping[int, float], run: RunOptions) -> bool:
    """Whether the run made all its steps or lost its patience, and was not stopped by the search."""
    wers = list(curve.values())
    stale = len(wers) - 1 - wers.index(min(wers)) if wers else 0
    return max(curve, default=0) >= run.loop.max_steps or 0 < run.patience <= stale


def winner(trials: Sequence[TrialResult]) -> TrialResult | None:
    """Return the trial with the lowest WER, the smaller model of two; None where all failed."""
    usable = [t for t in trials if t.status != "failed" and t.wer is not None]
    return min(usable, key=lambda t: (t.wer, t.parameters, t.name), default=None)


def measure(trials: Sequence[TrialResult], dev: Path) -> list[TrialResult]:
    """Return `trials` with their decoder times on clips of the store `dev`, and the Pareto front marked."""
    shapes = {t.point.decoder_layers for t in trials}
    best = {s: winner([t for t in trials if t.point.decoder_layers == s]) for s in shapes}
    found = {shape: trial for shape, trial in best.items() if trial}
    store = ClipStore([dev])
    times = dict(zip(found, _decoder_ms([*found.values()], store[:TIMED_CLIPS]), strict=True))
    timed = [replace(t, decoder_ms=times.get(t.point.decoder_layers)) for t in trials]
    candidates = [t for t in timed if t.status != "failed" and t.wer is not None]
    costs = [(t.wer or 0.0, float(t.parameters), t.decoder_ms or 0.0) for t in candidates]
    front = {t.name for t, on in zip(candidates, pareto_front(costs), strict=True) if on}
    return [replace(t, pareto=t.name in front) for t in timed]


def _decoder_ms(trials: Sequence[TrialResult], clips: Sequence[Clip]) -> list[float]:
    works = [trial.out / "evaluation" for trial in trials]
    try:
        engines = [
            CTranslate2Engine(convert(t.out / "model", work), threads=1)
            for t, work in zip(trials, works, strict=True)
        ]
        options = DecodingOptions(language=clips[0].language)
        return [round(t.decoder_ms, 2) for t in stage_times(engines, [c.pcm for c in clips], options, runs=3)]
    finally:
        for work in works:
            shutil.rmtree(work, ignore_errors=True)


def best_checkpoint(out: Path) -> Path:
    """Return the checkpoint whose step has the lowest WER, of the whole ones that the trial in `out` kept."""
    wers = by_step(out, "wer")
    states: dict[Path, int] = {}
    for file in (out / "train" / "run").glob(f"*/{STATE}"):
        with suppress(TrainingError):  # cut short: the trial went on from another
            states[file.parent] = int(read_checkpoint(file.parent, mmap=True)["loop"]["step"])
    return min(states, key=lambda folder: (wers.get(states[folder], float("inf")), states[folder]))
