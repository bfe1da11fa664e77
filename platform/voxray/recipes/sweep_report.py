"""The table of a sweep: printed, as JSON, and as a page with plots."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from voxray.files import atomic_file
from voxray.recipes.sweep_trials import TrialResult
from voxray.scoring.plots import COLOURS, INK, new_figure, to_svg
from voxray.scoring.report import write_page

COLUMNS = (
    *("trial", "dev WER, %", "learning rate", "WER threshold", "clips", "decoder layers", "KL weight"),
    *("steps", "parameters", "decoder, ms", "Pareto", "status"),
)
MAX_WER_SHOWN = (
    100.0  # per cent: a student before its first steps may have far more, which would flatten the plot
)


def ranked(trials: Sequence[TrialResult]) -> list[TrialResult]:
    """Return `trials`, the best first and the failed ones last."""
    return sorted(trials, key=lambda t: (t.status == "failed", t.wer is None, t.wer or 0.0, t.name))


def row(trial: TrialResult) -> list[str]:
    """Write out a trial, a cell for each of `COLUMNS`."""
    point, layers = trial.point, trial.point.decoder_layers
    return [
        trial.name,
        "-" if trial.wer is None else f"{trial.wer:.2f}",
        f"{point.learning_rate:.2e}",
        _threshold(point.wer_threshold),
        str(trial.kept),
        str(layers) if isinstance(layers, int) else "+".join(map(str, layers)),
        f"{point.kl_weight:g}",
        str(trial.steps),
        f"{trial.parameters / 1e6:.2f} M",
        "-" if trial.decoder_ms is None else f"{trial.decoder_ms:.1f}",
        "yes" if trial.pareto else "",
        trial.status,
    ]


def _threshold(value: float | None) -> str:
    return "none" if value is None else f"{value:g} %"


def print_trials(trials: Sequence[TrialResult]) -> None:
    """Print the table on stdout, with the reasons of the failed trials below it."""
    table = Table(*COLUMNS)
    for trial in ranked(trials):
        table.add_row(*row(trial))
    console = Console(width=150)
    console.print(table)
    for name, reason in _failures(trials).items():
        console.print(f"{name} failed: {reason}", markup=False)


def _failures(trials: Sequence[TrialResult]) -> dict[str, str]:
    return {t.name: t.failure for t in trials if t.failure}


def write_trials(file: Path, trials: Sequence[TrialResult], result: Mapping[str, Any]) -> None:
    """Write the result and all that is known of each trial as JSON."""
    rows = [
        {"name": t.name, "wer": t.wer, "steps": t.steps, **asdict(t), "out": str(t.out)}
        for t in ranked(trials)
    ]
    with atomic_file(file) as part:
        part.write_text(json.dumps({**result, "table": rows}, indent=1) + "\n")


def write_sweep_report(
    file: Path, title: str, trials: Sequence[TrialResult], result: Mapping[str, Any]
) -> None:
    """Write the page: the table, why trials failed, and plots of WER."""
    write_page(
        file,
        "sweep.html.j2",
        title=title,
        facts={
            "trials": f"{len(trials)}",
            "dev WER of the winner": _percent(result["wer_dev"]),
            "on test": _percent(result["wer_test"]),
            "the teacher's on test": _percent(result["wer_test_teacher"]),
        },
        notes=[
            f"{result['best']} is the winner; its model is in best/model, its checkpoint in best/checkpoint."
        ],
        columns=COLUMNS,
        rows=[row(t) for t in ranked(trials)],
        failures=_failures(trials),
        plots=_plots(trials),
    )


def _percent(wer: float | None) -> str:
    return "-" if wer is None else f"{wer:.2f} %"


def _plots(trials: Sequence[TrialResult]) -> dict[str, Markup]:
    evaluated = [t for t in trials if t.wer is not None]
    plots = {"By learning rate": _by_rate(evaluated), "While training": _curves(evaluated)}
    if len({t.parameters for t in evaluated}) > 1:
        plots["By decoder time"] = _front([t for t in evaluated if t.decoder_ms is not None])
    return {heading: Markup(svg) for heading, svg in plots.items()}


def _thresholds(trials: Sequence[TrialResult]) -> dict[str, str]:
    """Map the thresholds of `trials` to colours."""
    values = {t.point.wer_threshold for t in trials}
    names = [_threshold(v) for v in sorted(values, key=lambda v: (v is None, v or 0.0))]
    return {name: (*COLOURS, INK)[i % 5] for i, name in enumerate(names)}


def _by_rate(trials: Sequence[TrialResult]) -> str:
    figure, axes = new_figure(3.4)
    for threshold, colour in _thresholds(trials).items():
        its = [t for t in trials if _threshold(t.point.wer_threshold) == threshold]
        axes.scatter(
            [t.point.learning_rate for t in its],
            [min(MAX_WER_SHOWN, t.wer or 0.0) for t in its],
            color=colour,
            label=f"threshold {threshold}",
        )
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    return _finished(figure, axes, "rate", "Lowest dev WER of each trial by learning rate")


def _curves(trials: Sequence[TrialResult]) -> str:
    figure, axes = new_figure(3.4)
    colours, named = _thresholds(trials), set[str]()
    for trial in trials:
        threshold = _threshold(trial.point.wer_threshold)
        axes.plot(
            [step for step, _ in trial.curve],
            [min(MAX_WER_SHOWN, wer) for _, wer in trial.curve],
            marker=".",
            color=colours[threshold],
            label="_" if threshold in named else f"threshold {threshold}",
        )
        named.add(threshold)
    axes.set_xlabel("optimiser steps")
    return _finished(figure, axes, "curves", "Dev WER of each trial while it trains")


def _front(trials: Sequence[TrialResult]) -> str:
    figure, axes = new_figure(3.4)
    for on, colour, name in ((True, COLOURS[0], "Pareto front"), (False, COLOURS[1], "other trials")):
        its = [t for t in trials if t.pareto == on]
        wers = [min(MAX_WER_SHOWN, t.wer or 0.0) for t in its]
        axes.scatter([t.decoder_ms or 0.0 for t in its], wers, color=colour, label=name)
    axes.set_xlabel("decoder time, ms per clip")
    return _finished(figure, axes, "front", "Lowest dev WER of each trial by decoder time")


def _finished(figure: Any, axes: Any, name: str, title: str) -> str:
    axes.set_ylabel("dev WER, %")
    axes.grid(alpha=0.2)
    axes.legend(frameon=False, labelcolor=INK, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return to_svg(figure, name, title)
