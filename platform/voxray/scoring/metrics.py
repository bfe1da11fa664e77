"""Scores of a set of clips, from plain texts: error rates, their confidence interval, and repetition.

Rates are fractions (1.0 is 100 %). A corpus rate is pooled: all errors over all reference units, as jiwer
does it, not the mean over clips. Units are words, or characters in languages written without spaces; then
what is called WER here is the CER, and of a corpus that has both the mixed error rate (MER).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from voxray.text import (
    ErrorCounts,
    NormaliserName,
    by_character,
    character_errors,
    error_counts,
    normaliser,
    repeated_ngrams,
    units,
)

CONFIDENCE = 0.95
RESAMPLES = 1000
DRAWN_AT_ONCE = 1_000_000  # clips
RateName = Literal["WER", "CER", "MER"]
Rates = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClipScore:
    """One clip: its reference, its hypothesis, and the edits between them in the units of its language.

    `repeated` counts the 5-grams of the normalised hypothesis, of `hypothesis_length` units, that occurred
    before in it.
    """

    id: str
    reference: str
    hypothesis: str
    duration_s: float
    language: str
    errors: ErrorCounts
    characters: ErrorCounts
    hypothesis_length: int
    repeated: int
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """Many clips as one: pooled counts, and the bounds of the WER's 95 % confidence interval."""

    clips: int
    audio_s: float
    rate_name: RateName  # what `wer` is
    errors: ErrorCounts
    characters: ErrorCounts
    wer_low: float
    wer_high: float
    mean_clip_wer: float  # of min(1, WER) per clip: one runaway clip cannot hide the others
    repeated_per_1000: float  # repeated 5-grams per 1,000 units of hypotheses, counted within each clip

    @property
    def wer(self) -> float:
        """Pooled error rate in the units of each clip's language."""
        return self.errors.rate

    @property
    def cer(self) -> float:
        """Pooled character error rate."""
        return self.characters.rate


def score_clip(
    id: str,
    reference: str,
    hypothesis: str,
    duration_s: float,
    language: str,
    name: NormaliserName = "auto",
    speaker: str = "",
) -> ClipScore:
    """Score one pair of texts after the normaliser `name` of their language."""
    normalise = normaliser(language, name)
    normalised = normalise(hypothesis)
    return ClipScore(
        id=id,
        reference=reference,
        hypothesis=hypothesis,
        duration_s=duration_s,
        language=language,
        errors=error_counts(reference, hypothesis, language, name),
        characters=character_errors(reference, hypothesis, normalise),
        hypothesis_length=len(units(normalised, language)),
        repeated=repeated_ngrams(normalised, language=language),
        speaker=speaker,
    )


def summarise(scores: Sequence[ClipScore], *, seed: int = 0) -> Summary:
    """Pool `scores`; the interval is drawn with `seed`."""
    low, high = bootstrap_interval([s.errors for s in scores], seed=seed)
    length = sum(s.hypothesis_length for s in scores)
    return Summary(
        clips=len(scores),
        audio_s=sum(s.duration_s for s in scores),
        rate_name=rate_name(scores),
        errors=pooled([s.errors for s in scores]),
        characters=pooled([s.characters for s in scores]),
        wer_low=low,
        wer_high=high,
        mean_clip_wer=sum(min(1.0, s.errors.rate) for s in scores) / max(1, len(scores)),
        repeated_per_1000=1000 * sum(s.repeated for s in scores) / max(1, length),
    )


def rate_name(scores: Sequence[ClipScore]) -> RateName:
    """Return the name of the pooled error rate of `scores`, by their languages."""
    kinds = {by_character(s.language) for s in scores}
    if len(kinds) == 2:
        return "MER"
    return "CER" if True in kinds else "WER"


def pooled(counts: Sequence[ErrorCounts]) -> ErrorCounts:
    """Return the sum of `counts`."""
    return reduce(add, counts, ErrorCounts())


def resampled_rates(counts: Sequence[ErrorCounts], *, seed: int = 0) -> Rates:
    """Return the pooled rates of `RESAMPLES` resamples, clips drawn with replacement, shape (RESAMPLES,).

    Equally many counts are resampled alike with one seed, so that rates of two models on the same clips can
    be subtracted.
    """
    totals = np.array([(c.errors, c.reference_length) for c in counts])
    rng = np.random.default_rng(seed)
    blocks = np.array_split(np.arange(RESAMPLES), max(1, RESAMPLES * len(counts) // DRAWN_AT_ONCE))
    sums = np.concatenate(
        [totals[rng.integers(len(counts), size=(len(b), len(counts)))].sum(1) for b in blocks]
    )
    rates: Rates = sums[:, 0] / np.maximum(1, sums[:, 1])
    return rates


def percentiles(rates: Rates, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the bounds between which the share `confidence` of `rates` lies."""
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(rates, [tail, 100 - tail])
    return float(low), float(high)


def bootstrap_interval(
    counts: Sequence[ErrorCounts], *, confidence: float = CONFIDENCE, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile interval of the pooled rate, clips drawn with replacement.

    The method is that of Bisani and Ney (ICASSP 2004).
    """
    return percentiles(resampled_rates(counts, seed=seed), confidence) if counts else (0.0, 0.0)


def by_speaker(scores: Sequence[ClipScore], *, seed: int = 0) -> dict[str, Summary]:
    """Summarise each speaker that is named, by name; empty where none is."""
    speakers = sorted({s.speaker for s in scores if s.speaker})
    return {name: summarise([s for s in scores if s.speaker == name], seed=seed) for name in speakers}


def worst(scores: Sequence[ClipScore], count: int) -> list[ClipScore]:
    """Return the `count` clips with most errors among those that have any; ties by rate, then by id."""
    wrong = [s for s in scores if s.errors.errors]
    return sorted(wrong, key=lambda s: (-s.errors.errors, -s.errors.rate, s.id))[:count]
