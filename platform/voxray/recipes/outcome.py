"""Reads the progress that a training run logged (`out/progress.jsonl`)."""

import json
import statistics
from pathlib import Path
from typing import Any


def lines(out: Path) -> list[dict[str, Any]]:
    """Return every line of progress of the run in `out`, in order, but a last one that is not whole."""
    file = out / "progress.jsonl"
    return [json.loads(line) for line in file.read_text().split("\n")[:-1]] if file.exists() else []


def by_step(out: Path, key: str) -> dict[int, float]:
    """Return the values of `key` by step; of a step that was made again after a restart, the last one."""
    found = {int(line["step"]): float(line[key]) for line in lines(out) if key in line}
    return dict(sorted(found.items()))


def best_wer(out: Path) -> float | None:
    """Return the lowest WER on the dev clips, in per cent; None if nothing was evaluated."""
    return min(by_step(out, "wer").values(), default=None)


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


def minutes(out: Path) -> float:
    """Return the minutes of training, evaluations included, over all processes that worked on the run.

    Of a process that was killed they count up to its last line.
    """
    longest: dict[float, float] = {}
    for line in lines(out):
        if "elapsed_s" in line:
            longest[line["started"]] = max(longest.get(line["started"], 0.0), line["elapsed_s"])
    return round(sum(longest.values()) / 60, 2)
