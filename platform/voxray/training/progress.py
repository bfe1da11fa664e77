"""Progress of a run in a line for people: the step, the losses or the WER, and the time that is left."""

from collections.abc import Mapping
from typing import Any


def describe(values: Mapping[str, Any], max_steps: int, left_s: float | None = None) -> str:
    """Return the line for `values` of `progress.jsonl`; `left_s` is None where it is not known yet."""
    parts = [f"step {values['step']:>6} of {max_steps}"]
    if "wer" in values:
        parts.append(f"dev WER {values['wer']:.2f} %")
    else:
        parts += [f"{key} {values[key]:.3f}" for key in ("loss", "ce", "kl")]
        parts.append(f"{values['samples_per_s']:.1f} clips/s")
    if left_s is not None:
        parts.append(f"{in_words(left_s)} left")
    return "  ".join(parts)


def in_words(seconds: float) -> str:
    """Return a duration as people say it, rounded up: 40 s, 4 min, 2 h 5 min."""
    if seconds <= 59:
        return f"{-int(-seconds // 1)} s"
    hours, minutes = divmod(-int(-seconds // 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


class TimeLeft:
    """Estimates how long a run still takes from the lines of its log that are followed.

    The pace is wall time per step from the first line on, evaluations included. A line of another process
    (a run that was restarted from its checkpoint) is a first line again: steps are made again then.
    """

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps
        self.first: Mapping[str, Any] | None = None

    def after(self, line: Mapping[str, Any]) -> float | None:
        """Return the seconds left after `line`; None where no step was timed yet, and after the last."""
        if self.first is None or self.first["started"] != line["started"]:
            self.first = line
        made = line["step"] - self.first["step"]
        left = self.max_steps - line["step"]
        if made <= 0 or left <= 0:
            return None
        return float(left * (line["elapsed_s"] - self.first["elapsed_s"]) / made)
