import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.small_model import SMALL_MODEL

from voxray.recipes.sweep_space import Hyperparameters
from voxray.recipes.sweep_trials import TrialResult, best_checkpoint, winner
from voxray.training.loop_options import LoopOptions
from voxray.training.run import RunOptions

POINT = Hyperparameters(1e-4, 10.0, 2, 1.0)


def run(out: Path, wers: dict[int, float], **options: Any) -> RunOptions:
    """A run of 300 steps that logged `wers`."""
    out.mkdir(parents=True, exist_ok=True)
    log = [{"step": step, "loss": 1.0} for step in wers] + [{"step": s, "wer": w} for s, w in wers.items()]
    (out / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    loop = LoopOptions(max_steps=300)
    return RunOptions(out=out, start=SMALL_MODEL, train=(out,), loop=loop, **options)


def result(out: Path, wers: dict[int, float], failure: str | None = None, **options: Any) -> TrialResult:
    return TrialResult.read(run(out, wers, **options), POINT, 7, 1000, failure)


@pytest.mark.parametrize(
    ("wers", "patience", "status"),
    [
        ({0: 99.0, 100: 20.0, 200: 12.0, 300: 14.0}, 0, "finished"),
        ({0: 99.0, 100: 20.0}, 0, "stopped"),
        ({0: 99.0, 100: 20.0, 200: 21.0, 250: 22.0}, 2, "finished"),
        ({0: 99.0, 100: 20.0, 200: 21.0}, 2, "stopped"),
        ({}, 0, "stopped"),
    ],
)
def test_a_trial_has_ended_by_itself_or_was_stopped(
    tmp_path: Path, wers: dict[int, float], patience: int, status: str
) -> None:
    its = result(tmp_path, wers, patience=patience)
    assert its.status == status
    assert its.wer == min(wers.values(), default=None)
    assert its.steps == max(wers, default=0)


def test_an_evaluation_that_a_resumed_trial_repeats_counts_once(tmp_path: Path) -> None:
    log = [{"step": 100, "wer": 20.0}, {"step": 200, "wer": 10.0}, {"step": 200, "wer": 10.0}]
    its = run(tmp_path, {})
    (tmp_path / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    assert TrialResult.read(its, POINT, 7, 1000, None).curve == ((100, 20.0), (200, 10.0))


def test_the_winner_has_the_lowest_wer_and_did_not_fail(tmp_path: Path) -> None:
    trials = [
        result(tmp_path / "a", {300: 12.0}),
        result(tmp_path / "b", {100: 11.0}),
        result(tmp_path / "c", {100: 1.0}, failure="lost"),
        result(tmp_path / "d", {}),
    ]
    assert winner(trials) == trials[1]
    assert winner(trials[2:]) is None


def checkpoints(out: Path, steps: Sequence[int]) -> None:
    for step in steps:
        folder = out / "train" / "run" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        torch.save({"loop": {"step": step}, "best": (1.0, step, 0)}, folder / "state.pt")


def test_the_checkpoint_of_the_winner_is_that_of_its_lowest_wer(tmp_path: Path) -> None:
    its = run(tmp_path, {100: 20.0, 200: 10.0, 300: 15.0})
    checkpoints(its.out, (200, 300))
    (its.out / "train" / "run" / "checkpoint-cut").mkdir()
    (its.out / "train" / "run" / "checkpoint-cut" / "state.pt").write_bytes(b"PK")
    assert best_checkpoint(its.out).name == "checkpoint-200"
