"""How far a training is, read from the lines that its job logs (`out/progress.jsonl`)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """Steps, word error rates on the dev clips in per cent, and seconds left; None where not known."""

    step: int = 0
    max_steps: int | None = None
    wer_before: float | None = None
    wer: float | None = None  # the lowest
    left_s: float | None = None

    @property
    def percent(self) -> float:
        """Per cent of the steps that were made."""
        return round(100 * self.step / self.max_steps, 1) if self.max_steps else 0.0

    @classmethod
    def read(cls, file: Path) -> "TrainingProgress":
        """Return the progress in `file`, which may not be there yet; a line that is being written is left."""
        try:
            lines = file.read_text(encoding="utf-8").split("\n")[:-1]
        except FileNotFoundError:
            return cls()
        return cls.of([json.loads(line) for line in lines])

    @classmethod
    def of(cls, lines: list[dict[str, Any]]) -> "TrainingProgress":
        """Return the progress after `lines`."""
        wers = [line["wer"] for line in lines if "wer" in line]
        max_steps = next((line["max_steps"] for line in reversed(lines) if "max_steps" in line), None)
        return cls(
            step=lines[-1]["step"] if lines else 0,
            max_steps=max_steps,
            wer_before=wers[0] if wers else None,
            wer=min(wers, default=None),
            left_s=_left_s(lines, max_steps),
        )


def _left_s(lines: list[dict[str, Any]], max_steps: int | None) -> float | None:
    """Return the seconds left at the pace of the process that wrote the last line."""
    if not lines or max_steps is None:
        return None
    last = lines[-1]
    first = next(line for line in lines if line["started"] == last["started"])
    made = last["step"] - first["step"]
    if made <= 0:
        return None
    pace_s: float = (last["elapsed_s"] - first["elapsed_s"]) / made
    left = max_steps - int(last["step"])
    return round(pace_s * left, 1)
