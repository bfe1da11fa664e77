"""The page of a distillation: the student beside its teacher."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from voxray.recipes.run_report import EvaluatedModel, RunDescription, write_run_report
from voxray.training.evaluation import Evaluation, read_hypotheses
from voxray.training.run import RunOptions

if TYPE_CHECKING:
    from voxray.recipes.distil import DistilConfig


def write_distil_report(
    config: "DistilConfig",
    options: RunOptions,
    parameters: tuple[int, int],
    teacher: Evaluation | None,
    left_out: Sequence[str],
) -> Path:
    """Write `out/report.html` and return its path; `parameters` are those of teacher and student."""
    first, best = (read_hypotheses(options.out, which) for which in ("first", "best"))
    run = RunDescription(
        subject=f"Distilling {config.teacher} on {', '.join(map(str, config.labelled))}",
        models=[
            EvaluatedModel("teacher", teacher.texts if teacher else (), parameters[0]),
            EvaluatedModel("student before training", first, parameters[1], shown=False),
            EvaluatedModel("student", best, parameters[1]),
        ],
        left_out=left_out,
        workers=config.workers,
        dev_corpus=config.dev_corpus,
        wer_teacher=teacher.wer if teacher else None,
    )
    return write_run_report(options, run)
