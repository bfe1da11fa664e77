"""Is one model better than another on the same clips, and how surely: the paired bootstrap.

Both models are scored on each resample of the clips, so that clips that are hard for both do not hide the
difference (Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
ICASSP 2004, section 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voxray.scoring.metrics import RateName, percentiles, resampled_rates
from voxray.text import ErrorCounts

CERTAIN = 0.99  # a higher probability is written as one above it: it rests on few resamples


@dataclass(frozen=True, slots=True)
class Improvement:
    """By how much the error rate falls from model a to model b, as fractions; negative where it rises.

    `low` and `high` bound the 95 % interval; `probability` is the share of resamples in which b has the lower
    rate, those in which both have the same counted half.
    """

    reduction: float
    low: float
    high: float
    probability: float

    @property
    def significant(self) -> bool:
        """Whether the interval excludes that both are equally good."""
        return self.low > 0 or self.high < 0

    def reversed(self) -> "Improvement":
        """Return the improvement from b to a."""
        return Improvement(-self.reduction, -self.high, -self.low, 1 - self.probability)


def paired_bootstrap(a: Sequence[ErrorCounts], b: Sequence[ErrorCounts], *, seed: int = 0) -> Improvement:
    """Compare two models by their errors on the same clips, in the same order; at least one clip."""
    if len(a) != len(b) or not a:
        raise ValueError(f"expected counts of the same clips, got {len(a)} and {len(b)}.")
    rates_a, rates_b = resampled_rates(a, seed=seed), resampled_rates(b, seed=seed)
    low, high = percentiles(rates_a - rates_b)
    wins = np.mean(rates_b < rates_a) + np.mean(rates_b == rates_a) / 2
    return Improvement(sum(a, ErrorCounts()).rate - sum(b, ErrorCounts()).rate, low, high, float(wins))


def headline(a: str, b: str, improvement: Improvement, rate: RateName = "WER") -> str:
    """Say in one sentence which of the models called `a` and `b` is better, or that the clips do not tell."""
    if improvement.reduction < 0:
        a, b, improvement = b, a, improvement.reversed()
    points = f"{100 * improvement.reduction:.1f} points {rate}"
    interval = f"{100 * improvement.low:.1f} to {100 * improvement.high:.1f}"
    evidence = f"95 % interval {interval}; {written_probability(improvement)}"
    if improvement.significant:
        return f"{b} is better than {a} by {points} ({evidence})."
    return f"These clips do not tell {b} and {a} apart: {b} is ahead by {points} ({evidence})."


def written_probability(improvement: Improvement) -> str:
    """Write the probability of improvement, such as `p = 0.87`."""
    if improvement.probability > CERTAIN:
        return f"p > {CERTAIN}"
    if improvement.probability < 1 - CERTAIN:
        return f"p < {1 - CERTAIN:.2f}"
    return f"p = {improvement.probability:.2f}"
