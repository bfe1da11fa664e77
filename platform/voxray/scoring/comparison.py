"""Models side by side on the same clips: each against the first, and by language, duration and speaker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from voxray.scoring.metrics import ClipScore, RateName, pooled, rate_name
from voxray.scoring.paired import Improvement, headline, paired_bootstrap

DURATIONS_S = (0.0, 2.0, 4.0, 6.0, 10.0, 15.0, 20.0, 30.0)
MOST_GROUPS = 20  # in one table

Models = Mapping[str, Sequence[ClipScore]]


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """Model `b` against model `a` on the same clips, or on those of one `group`."""

    a: str
    b: str
    improvement: Improvement
    rate_a: float
    rate_b: float
    rate_name: RateName
    clips: int
    group: str = ""

    @property
    def headline(self) -> str:
        """Which of both is better, in a sentence."""
        return headline(self.a, self.b, self.improvement, self.rate_name)


def compare(a: str, b: str, models: Models, group: str = "", *, seed: int = 0) -> ModelComparison:
    """Compare two of `models`, which scored the same clips in the same order."""
    errors = {name: [s.errors for s in models[name]] for name in (a, b)}
    return ModelComparison(
        a=a,
        b=b,
        improvement=paired_bootstrap(errors[a], errors[b], seed=seed),
        rate_a=pooled(errors[a]).rate,
        rate_b=pooled(errors[b]).rate,
        rate_name=rate_name(models[a]),
        clips=len(errors[a]),
        group=group,
    )


def compare_with_first(models: Models, *, seed: int = 0) -> list[ModelComparison]:
    """Compare each of `models` but the first with the first, in order."""
    first, *others = models
    return [compare(first, other, models, seed=seed) for other in others]


def deciding(comparisons: Sequence[ModelComparison]) -> ModelComparison:
    """Return the comparison of the model with the lowest rate among those compared with the first."""
    return min(comparisons, key=lambda c: c.rate_b)


def compare_by(
    key: Callable[[ClipScore], str], a: str, b: str, models: Models, *, seed: int = 0
) -> list[ModelComparison]:
    """Compare two models in each group of clips that `key` names; the largest groups, in order of name.

    Clips whose name is empty are in no group; where only one group is left there is nothing to compare.
    """
    groups: dict[str, list[int]] = {}
    for i, score in enumerate(models[a]):
        if name := key(score):
            groups.setdefault(name, []).append(i)
    largest = sorted(groups, key=lambda name: -len(groups[name]))[:MOST_GROUPS]
    if len(largest) < 2:
        return []
    parts = {
        name: {model: [models[model][i] for i in groups[name]] for model in (a, b)}
        for name in sorted(largest)
    }
    return [compare(a, b, part, name, seed=seed) for name, part in parts.items()]


def duration_range(index: int) -> str:
    """Return the name of a range between two of `DURATIONS_S`."""
    if index + 1 == len(DURATIONS_S):
        return f"{DURATIONS_S[index]:g} s +"
    return f"{DURATIONS_S[index]:g}-{DURATIONS_S[index + 1]:g} s"


def range_of(score: ClipScore) -> int:
    """Return the index of the range of durations that a clip is in."""
    return max(i for i, from_s in enumerate(DURATIONS_S) if score.duration_s >= from_s)


def by_duration(a: str, b: str, models: Models, *, seed: int = 0) -> list[ModelComparison]:
    """Compare two models in each range of durations, from short to long."""
    order = [duration_range(i) for i in range(len(DURATIONS_S))]
    found = compare_by(lambda s: duration_range(range_of(s)), a, b, models, seed=seed)
    return sorted(found, key=lambda c: order.index(c.group))
