"""Ray Tune around the trials of a sweep, each of which is a run of Ray Train."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray._private.state import state
from ray.tune.experiment import Trial
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from voxray import job
from voxray.errors import VoxrayError
from voxray.files import atomic_file
from voxray.recipes.outcome import by_step
from voxray.recipes.sweep import SweepConfig
from voxray.recipes.sweep_space import TRIAL_CPUS, trial_name
from voxray.training.run import RunOptions
from voxray.training.trainer import LostWorkersError, train

MAX_FAILURES = 2  # how often a trial whose driver was lost is started again, from its last checkpoint
FAILURE = "failure.txt"
STOPPED = "stopped"  # a file in a trial that ASHA has stopped


def nodes() -> list[Mapping[str, float]]:
    """Return the resources of each node; of an autoscaling cluster the most it may have, as one node."""
    largest = state.get_max_resources_from_cluster_config()
    if largest and largest.get("CPU"):
        return [{name: float(amount) for name, amount in largest.items()}]
    return [n["Resources"] for n in ray.nodes() if n["Alive"]]  # type: ignore[no-untyped-call]  # Ray's own


def search(config: SweepConfig, runs: Sequence[RunOptions]) -> list[str | None]:
    """Run the trials; return of each why it failed, None where it did not.

    What the experiment in `out/tune` has finished is not run again. Call it connected to a cluster.
    """
    place = config.out.resolve() / "tune"
    trainable = tune.with_resources(
        tune.with_parameters(
            run_trial,
            runs=[run.model_dump(mode="json") for run in runs],
            workers=config.workers,
            cpus_per_worker=config.cpus_per_worker,
        ),
        {"CPU": TRIAL_CPUS},
    )
    if tune.Tuner.can_restore(str(place / "sweep")):
        tuner = tune.Tuner.restore(
            str(place / "sweep"), trainable, resume_unfinished=True, resume_errored=True
        )
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={"trial": tune.grid_search(list(range(len(runs))))},
            tune_config=_tune_config(config, [run.out for run in runs]),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=str(place),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                callbacks=[SweepProgress(config.max_steps)],
            ),
        )
    with redirect_stdout(sys.stderr):  # Tune says where its files are, even with verbose=0
        results = tuner.fit()
    ended = [results[i] for i in range(len(results))]
    errors = {int(result.config["trial"]): result.error for result in ended if result.config}
    return [failure_of(run.out, errors.get(i)) for i, run in enumerate(runs)]


def _tune_config(config: SweepConfig, outs: Sequence[Path]) -> tune.TuneConfig:
    grace = config.grace_steps or config.evaluate_every
    return tune.TuneConfig(
        metric="wer",
        mode="min",
        max_concurrent_trials=config.max_concurrent,
        trial_name_creator=_name,
        trial_dirname_creator=_name,
        scheduler=ReplayingASHA(
            outs,
            time_attr="step",  # training_iteration restarts from 1 with the trial
            max_t=config.max_steps + 1,  # at max_steps a trial ends by itself
            grace_period=min(grace, config.max_steps),
            reduction_factor=config.reduction_factor,
        ),
    )


def _name(trial: Trial) -> str:
    return trial_name(trial.config["trial"])


def run_trial(
    config: dict[str, Any], runs: Sequence[dict[str, Any]], workers: int, cpus_per_worker: float
) -> None:
    """Train trial `config["trial"]` of `runs`; write a foreseen error, which no restart would mend."""
    options = RunOptions.model_validate(runs[config["trial"]])
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / FAILURE).unlink(missing_ok=True)  # of a start before
    try:
        reports = TuneReportCallback()  # type: ignore[no-untyped-call]  # Ray's own
        train(options, workers, cpus_per_worker, [reports])
    except LostWorkersError:
        raise  # Tune starts the trial again
    except VoxrayError as e:
        with atomic_file(options.out / FAILURE) as part:
            part.write_text(str(e))


def failure_of(out: Path, error: BaseException | None) -> str | None:
    """Return why the trial in `out` failed; None where it did not.

    The run of a trial that was stopped may fail: Tune removes its workers before it ends.
    """
    if (out / STOPPED).is_file():
        return None
    if (out / FAILURE).is_file():
        return (out / FAILURE).read_text()
    if error is None:
        return None
    return job.explain(error) or (str(error).strip().splitlines() or [type(error).__name__])[-1]


class ReplayingASHA(ASHAScheduler):
    """ASHA (Li et al., arXiv 1810.05934) that is told again, after a restart, what the trials had reported.

    Tune saves the trials and not its scheduler: without this, a resumed sweep compares no trial with those
    that ended before.
    """

    def __init__(self, outs: Sequence[Path], **options: Any) -> None:
        super().__init__(**options)
        self._outs = outs

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Add `trial`, with the results that it logged in an earlier run."""
        super().on_trial_add(tune_controller, trial)
        for step, wer in by_step(self._outs[trial.config["trial"]], "wer").items():
            if step > 0:  # what comes before the first step is not reported to Tune
                super().on_trial_result(tune_controller, trial, {"step": step, "wer": wer})

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Return ASHA's decision, and mark a trial that it stops."""
        decision: str = super().on_trial_result(tune_controller, trial, result)
        if decision == TrialScheduler.STOP:
            out = self._outs[trial.config["trial"]]
            out.mkdir(parents=True, exist_ok=True)
            (out / STOPPED).touch()
        return decision


class SweepProgress(tune.Callback):
    """Shows the results of the trials on stderr as they come."""

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Show one evaluation."""
        if "wer" in result:
            self._show(
                trial, f"step {result['step']:>6.0f} of {self.max_steps}  dev WER {result['wer']:.2f} %"
            )

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Show that a trial has ended or was stopped."""
        self._show(trial, "ended")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Show that a trial has failed."""
        self._show(trial, "failed; the others go on")

    def _show(self, trial: Trial, text: str) -> None:
        print(f"{trial_name(trial.config['trial'])}  {text}", file=sys.stderr, flush=True)
