"""The learning rate over training, counted in samples: any number of workers follows the same curve."""

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine", "polynomial"]


def rate(schedule: Schedule, seen: float, warmup: float, total: float, min_lr_ratio: float = 0.0) -> float:
    """Return the fraction of the peak rate after `seen` of `total` samples, rising over the first `warmup`.

    Every schedule but `constant` falls to `min_lr_ratio` at `total`; `polynomial` is quadratic.
    """
    if seen < warmup:
        return seen / warmup
    if schedule == "constant":
        return 1.0
    left = 1.0 - min(1.0, (seen - warmup) / max(1.0, total - warmup))
    shape = {"linear": left, "cosine": 0.5 - 0.5 * math.cos(math.pi * left), "polynomial": left**2}[schedule]
    return min_lr_ratio + (1.0 - min_lr_ratio) * shape
