"""The table of an adaptation: each window length before and after."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from voxray.scoring.windows import WindowScore

COLUMNS = ("smallest window, s", "WER, %", "to the teacher, %", "loops / 1,000 words", "invented", "passed")


def score_rows(
    before: Sequence[WindowScore], after: Sequence[WindowScore], tolerance: float
) -> list[tuple[str, ...]]:
    """Write out both sets of scores, window by window, a cell for each of `COLUMNS`."""
    return [
        (
            f"{new.window_s:g}",
            f"{_rate(old.wer)} -> {_rate(new.wer)} (teacher {_rate(new.wer_of_teacher)})",
            f"{old.wer_to_teacher:.2f} -> {new.wer_to_teacher:.2f}",
            f"{old.loops:.1f} -> {new.loops:.1f}",
            f"{old.invented} -> {new.invented}",
            "yes" if new.passes(tolerance) else "no",
        )
        for old, new in zip(before, after, strict=True)
    ]


def print_scores(before: Sequence[WindowScore], after: Sequence[WindowScore], tolerance: float) -> None:
    """Print both sets of scores as a table on stdout."""
    table = Table(*COLUMNS)
    for row in score_rows(before, after, tolerance):
        table.add_row(*row)
    Console(width=130).print(table)


def _rate(wer: float | None) -> str:
    return "-" if wer is None else f"{wer:.2f}"
