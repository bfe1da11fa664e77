import json
from pathlib import Path
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from voxray.recipes.sweep_tune import FAILURE, ReplayingASHA, failure_of

CONTROLLER: Any = None  # which the scheduler does not use


def scheduler(out: Path, trials: int) -> tuple[ReplayingASHA, list[Trial]]:
    """A scheduler as a resumed sweep has it, and its trials."""
    outs = [out / f"trial-{i:03d}" for i in range(trials)]
    asha = ReplayingASHA(outs, time_attr="step", max_t=301, grace_period=50, reduction_factor=2)
    asha.set_search_properties("wer", "min")
    added = [Trial("stub", config={"trial": i}, stub=True) for i in range(trials)]
    for trial in added:
        asha.on_trial_add(CONTROLLER, trial)
    return asha, added


def log(out: Path, *wers: tuple[int, float]) -> None:
    out.mkdir()
    (out / "progress.jsonl").write_text("".join(json.dumps({"step": s, "wer": w}) + "\n" for s, w in wers))


@pytest.mark.parametrize(("wer", "decision"), [(30.0, TrialScheduler.STOP), (5.0, TrialScheduler.CONTINUE)])
def test_after_a_restart_a_trial_is_compared_with_those_that_reported_before(
    tmp_path: Path, wer: float, decision: str
) -> None:
    log(tmp_path / "trial-000", (0, 99.0), (50, 10.0))
    asha, (_, second) = scheduler(tmp_path, 2)
    assert asha.on_trial_result(CONTROLLER, second, {"step": 50, "wer": wer}) == decision


def test_without_earlier_results_the_first_trial_goes_on(tmp_path: Path) -> None:
    asha, (_, second) = scheduler(tmp_path, 2)
    assert asha.on_trial_result(CONTROLLER, second, {"step": 50, "wer": 99.0}) == TrialScheduler.CONTINUE


def test_a_result_that_a_resumed_trial_repeats_counts_once(tmp_path: Path) -> None:
    log(tmp_path / "trial-000", (50, 10.0))
    asha, (first, _) = scheduler(tmp_path, 2)
    assert asha.on_trial_result(CONTROLLER, first, {"step": 50, "wer": 10.0}) == TrialScheduler.CONTINUE


@pytest.mark.parametrize(("wer", "failure"), [(30.0, None), (5.0, "the workers are gone")])
def test_the_run_of_a_trial_that_was_stopped_has_not_failed(
    tmp_path: Path, wer: float, failure: str | None
) -> None:
    """Tune removes the workers of a trial that is stopped, and its run may say so before it ends."""
    log(tmp_path / "trial-000", (50, 10.0))
    asha, (_, second) = scheduler(tmp_path, 2)
    asha.on_trial_result(CONTROLLER, second, {"step": 50, "wer": wer})
    out = tmp_path / "trial-001"
    out.mkdir(exist_ok=True)
    (out / FAILURE).write_text("the workers are gone")

    assert failure_of(out, None) == failure
