"""Reads the progress that a training run logged (`out/progress.jsonl`)."""

import json
import statistics
from pathlib import Path
from typing import Any


def lines(out: Path) -> list[dict[str, Any]]:
    """Return every line of progress of the run in `out`, in order."""
    file = out / "progress.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def best_wer(out: Path) -> float | None:
    """Return the lowest WER on the dev clips, in per cent; None if nothing was evaluated."""
    return min((line["wer"] for line in lines(out) if "wer" in line), default=None)


def first_wer(out: Path) -> float | None:
    """Return the WER on the dev clips before the first step, in per cent."""
    return next((line["wer"] for line in lines(out) if "wer" in line), None)


def last_step(out: Path) -> int:
    """Return the last step that was reported."""
    return max((int(line["step"]) for line in lines(out)), default=0)


def samples_per_s(out: Path) -> float | None:
    """Return training windows per second over all workers: the median of what was reported."""
    speeds = [line["samples_per_s"] for line in lines(out) if "samples_per_s" in line]
    return round(statistics.median(speeds), 2) if speeds else None
