"""Searches learning rate, WER threshold and shape of a student: many `distil` runs on the same labels."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import pyarrow as pa
from pydantic import BeforeValidator, Field, model_validator

from voxray import job
from voxray.cluster import cluster
from voxray.config import PositiveRange
from voxray.corpora.labelled import check_finished, read_table
from voxray.corpora.store import ClipStore
from voxray.errors import TrainingError
from voxray.files import atomic_directory
from voxray.labelling.teacher import check_teacher
from voxray.recipes.distil import (
    CACHE,
    DistilConfig,
    dev_ids,
    distil_options,
    kept_ids,
    smallest_window_s,
    student_languages,
    write_student,
)
from voxray.recipes.distil_stores import on_ray
from voxray.recipes.learning import prepared, several
from voxray.recipes.sweep_data import SweepData
from voxray.recipes.sweep_report import print_trials, write_sweep_report, write_trials
from voxray.recipes.sweep_space import Demand, Hyperparameters, SearchSpace, trial_name
from voxray.recipes.sweep_trials import TrialResult, best_checkpoint, measure, winner
from voxray.training.evaluation import Evaluator
from voxray.training.run import RunOptions
from voxray.whisper.export import convert
from voxray.whisper.models import ctranslate2_folder, hf_folder

Several = (Field(min_length=1), BeforeValidator(several))
Thresholds = Annotated[tuple[float | None, ...], *Several]
LayerChoices = Annotated[tuple[int | tuple[int, ...], ...], *Several]
Weights = Annotated[tuple[Annotated[float, Field(ge=0)], ...], *Several]


class SweepConfig(DistilConfig):
    """What is searched, and what all trials share: every other key of `distil`."""

    trials: int = Field(default=10, ge=1)
    """Trials in all. Each makes max_steps optimiser steps, whatever its threshold, unless it is stopped."""
    learning_rate: PositiveRange = (3e-5, 3e-4)  # type: ignore[assignment]  # searched, not given
    """Bounds of the peak learning rate, which is log-uniform."""
    wer_threshold: Thresholds = (5.0, 10.0, 20.0, 40.0, None)  # type: ignore[assignment]  # the same
    """WER thresholds to choose from, in per cent; null drops no clip for its WER."""
    decoder_layers: LayerChoices = (2,)  # type: ignore[assignment]  # the same
    """Decoder layers to choose from: a list of counts, or of lists of the teacher's layers."""
    kl_weight: Weights = (1.0,)  # type: ignore[assignment]  # the same
    """Weights of the KL divergence to choose from; 0 needs no teacher in memory."""
    max_concurrent: int = Field(default=2, ge=1)
    """Trials that train at the same time."""
    cpus_per_worker: float = Field(default=0.5, gt=0)
    """Ray's logical CPUs for each worker of a trial."""
    grace_steps: int | None = Field(default=None, ge=1)
    """Steps before which no trial is stopped; null is the first evaluation."""
    reduction_factor: float = Field(default=3.0, gt=1)
    """ASHA: about one trial in this many goes on at a rung; the next rung is this many times as far."""

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        if self.max_epochs:
            raise ValueError("expected max_steps, and no max_epochs: thresholds keep unlike numbers of clips")
        if self.pack:
            raise ValueError("expected pack=false: the windows must not depend on the threshold")
        if self.student and len(self.decoder_layers) > 1:
            raise ValueError("expected one decoder_layers, or no student, which has layers of its own")
        return self

    @property
    def space(self) -> SearchSpace:
        """What is searched."""
        return SearchSpace(self.learning_rate, self.wer_threshold, self.decoder_layers, self.kl_weight)

    @property
    def demand(self) -> Demand:
        """What is asked of the cluster."""
        return Demand(min(self.max_concurrent, self.trials), self.workers, self.cpus_per_worker)

    def of_trial(self, point: Hyperparameters) -> DistilConfig:
        """Return the configuration of `distil` at `point`; trials that run together share the cores."""
        shared = self.model_dump(include=set(DistilConfig.model_fields))
        cores = (os.cpu_count() or 1) // (self.demand.max_concurrent * self.workers)  # of this machine
        shared["threads"] = self.threads or max(1, cores, int(self.cpus_per_worker))
        return DistilConfig.model_validate({**shared, **point.to_dict()})


def run(config: SweepConfig) -> dict[str, Any]:
    """Search, and return what the JSON line says, WER in per cent; `out/best/model` is the winner.

    A killed sweep in the same `out` is resumed: finished trials stand, the others go on from their
    checkpoints. A trial that fails is in the table with its reason. Raises TrainingError where a threshold
    leaves no clips, there are none to judge by, or every trial failed; ConfigError where the trials do not
    fit the cluster.
    """
    for place in config.labelled:
        check_finished(place)
    teacher, tables = hf_folder(config.teacher), [read_table(place) for place in config.labelled]
    points = config.space.sample(config.trials, config.plan.seed)
    configs = [config.of_trial(point) for point in points]
    smallest_s = smallest_window_s(configs[0], teacher)
    kept = _kept(config, tables)
    for place in config.labelled if any(config.kl_weight) else ():
        check_teacher(place, config.teacher)
    job.prepare_out(config.out, overwrite=config.overwrite, resume=True)
    with cluster():
        from voxray.recipes.sweep_tune import nodes, search  # Ray Tune: 3 s of imports

        config.demand.check(nodes())
        out = prepared(config).resolve()
        data = SweepData(out, len(config.labelled))
        data.write(tables, configs, on_ray)
        known = student_languages(configs[0], tables)
        trial_runs = (_trial_run(each, teacher, smallest_s, data, i) for i, each in enumerate(configs))
        runs = [each.model_copy(update={"languages": known}) for each in trial_runs]
        sizes = [write_student(c, teacher, r.start)[1] for c, r in zip(configs, runs, strict=True)]
        failures = search(config, runs)
    trials = [
        TrialResult.read(run, point, kept[point.wer_threshold], size, failure)
        for run, point, size, failure in zip(runs, points, sizes, failures, strict=True)
    ]
    return _finish(config, data, measure(trials, data.dev), smallest_s)


def _kept(config: SweepConfig, tables: Sequence[pa.Table]) -> Mapping[float | None, int]:
    """Count the clips that each threshold keeps; TrainingError where one keeps none, or none can judge."""
    first = config.space.sample(1, 0)[0].to_dict()
    by_threshold = {
        t: config.of_trial(Hyperparameters(**{**first, "wer_threshold": t})).sets()
        for t in config.wer_threshold
    }
    pairs = zip(tables, next(iter(by_threshold.values())), strict=True)
    if not config.dev_corpus and not any(dev_ids(table, its) for table, its in pairs):
        raise TrainingError(
            f"{config.labelled[0]}: expected clips to judge the trials by, got none in 'dev' and too few to "
            "hold any out; label a corpus with a dev split."
        )
    kept = {}
    for threshold, sets in by_threshold.items():
        try:
            kept[threshold] = sum(len(kept_ids(t, its)) for t, its in zip(tables, sets, strict=True))
        except TrainingError as e:
            name = "null" if threshold is None else f"{threshold:g}"
            raise TrainingError(f"wer_threshold={name}: {e}") from e
    return kept


def _trial_run(
    config: DistilConfig, teacher: Path, smallest_s: float, data: SweepData, index: int
) -> RunOptions:
    layers = config.decoder_layers
    shape = str(layers) if isinstance(layers, int) else "-".join(map(str, layers))
    selected = data.selected(config.wer_threshold)
    kept_states = selected.stem if config.kl_weight else f"{selected.stem}-no-kl"  # none of the teacher's
    return distil_options(config, teacher, smallest_s).model_copy(
        update={
            "out": data.out / "trials" / trial_name(index),
            "start": data.out / "starts" / f"layers-{shape}",
            "train": data.train,
            "selected": selected,
            "cache": data.out / CACHE / kept_states,
            "dev": data.dev,
        }
    )


def _finish(
    config: SweepConfig, data: SweepData, trials: Sequence[TrialResult], smallest_s: float
) -> dict[str, Any]:
    """Keep the winner, score it on the test clips, and write the table."""
    best = winner(trials)
    if best is None:
        raise TrainingError(
            f"{data.out}: expected a trial that ends, but all {len(trials)} failed; "
            f"the first: {trials[0].failure}"
        )
    with atomic_directory(data.out / "best") as part:
        shutil.copytree(best.out / "model", part / "model")
        shutil.copytree(best_checkpoint(best.out), part / "checkpoint")
    teacher = ctranslate2_folder(config.teacher)
    student = convert(data.out / "best" / "model", data.out / "evaluation")
    result = {
        "trials": len(trials),
        **{status: sum(t.status == status for t in trials) for status in ("finished", "stopped", "failed")},
        "best": best.name,
        **best.point.to_dict(),
        "kept": best.kept,
        "wer_dev_teacher": _wer(config, data.dev, teacher, smallest_s),
        "wer_dev": best.wer,
        "wer_test_teacher": _wer(config, data.test, teacher, smallest_s),
        "wer_test": _wer(config, data.test, student, smallest_s),
        "parameters": best.parameters,
        "decoder_ms": best.decoder_ms,
        "model": str(data.out / "best" / "model"),
    }
    shutil.rmtree(student)
    shutil.rmtree(data.out / CACHE, ignore_errors=True)
    write_trials(data.out / "trials.json", trials, result)
    title = f"Sweep of {', '.join(map(str, config.labelled))}"
    write_sweep_report(data.out / "report.html", title, trials, result)
    print_trials(trials)
    return result


def _wer(config: SweepConfig, place: Path, model: Path, smallest_s: float) -> float | None:
    """Return the WER of a CTranslate2 folder on the clips in `place`; None where there are none."""
    clips = list(ClipStore([place]))
    evaluator = Evaluator(clips, smallest_s, config.normaliser, threads=max(1, config.threads))
    return evaluator.score(model) if clips else None
