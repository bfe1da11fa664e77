import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from voxray.recipes.sweep_report import print_trials, write_sweep_report, write_trials
from voxray.recipes.sweep_space import Hyperparameters
from voxray.recipes.sweep_trials import TrialResult

GOOD = TrialResult(
    out=Path("trials/trial-001"),
    point=Hyperparameters(1.5e-4, None, 2, 1.0),
    kept=300,
    parameters=30_000_000,
    status="finished",
    curve=((0, 140.0), (100, 20.0), (200, 12.5)),
    decoder_ms=30.0,
    pareto=True,
)
WORSE = replace(
    GOOD,
    out=Path("trials/trial-000"),
    point=Hyperparameters(3e-5, 5.0, 1, 1.0),
    parameters=20_000_000,
    status="stopped",
    curve=((0, 140.0), (100, 33.25)),
    decoder_ms=20.0,
)
FAILED = replace(WORSE, out=Path("trials/trial-002"), status="failed", failure="<the loss is nan>", curve=())
TRIALS = [WORSE, GOOD, FAILED]
RESULT: dict[str, Any] = {
    "best": "trial-001",
    "wer_dev": 12.5,
    "wer_test": 13.75,
    "wer_test_teacher": None,
}


def test_the_printed_table_has_the_best_first_and_the_failed_last_with_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_trials(TRIALS)
    printed = capsys.readouterr().out
    names = [line.split()[1] for line in printed.splitlines() if line.startswith("│")]

    assert names == ["trial-001", "trial-000", "trial-002"]
    assert "12.50" in printed
    assert "1.50e-04" in printed
    assert "trial-002 failed: <the loss is nan>" in printed


def test_the_json_has_every_trial_with_its_curve(tmp_path: Path) -> None:
    write_trials(tmp_path / "trials.json", TRIALS, RESULT)
    written = json.loads((tmp_path / "trials.json").read_text())

    assert written["best"] == "trial-001"
    assert [t["name"] for t in written["table"]] == ["trial-001", "trial-000", "trial-002"]
    assert written["table"][0]["point"] == {
        **{"learning_rate": 1.5e-4, "wer_threshold": None},
        **{"decoder_layers": 2, "kl_weight": 1.0},
    }
    assert written["table"][0]["curve"] == [[0, 140.0], [100, 20.0], [200, 12.5]]
    assert written["table"][2]["failure"] == "<the loss is nan>"


def test_the_page_has_the_table_the_failures_and_three_plots(tmp_path: Path) -> None:
    write_sweep_report(tmp_path / "report.html", "Sweep of <labels>", TRIALS, RESULT)
    page = (tmp_path / "report.html").read_text()

    assert "<h1>Sweep of &lt;labels&gt;</h1>" in page
    assert "trial-002: &lt;the loss is nan&gt;" in page
    assert "13.75 %" in page
    assert page.count("<svg") == 3
    assert page.count('<th scope="row">') == 3


def test_students_of_one_size_have_no_plot_by_decoder_time(tmp_path: Path) -> None:
    write_sweep_report(tmp_path / "report.html", "Sweep", [GOOD], {**RESULT, "wer_test": None})
    page = (tmp_path / "report.html").read_text()

    assert page.count("<svg") == 2
    assert "decoder time, ms" not in page
