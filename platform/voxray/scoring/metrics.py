"""Scores of a set of clips, from plain texts: word and character error rates, their doubt, and repetition.

Rates are fractions (1.0 is 100 %). A corpus rate is pooled: all errors over all reference words, as jiwer
does it, not the mean over clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from voxray.text import ErrorCounts, Normaliser, character_errors, english, repeated_ngrams, word_errors

CONFIDENCE = 0.95
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class ClipScore:
    """One clip: what was said, what was heard, and the edits between them.

    `repeated` counts 5-grams of the normalised hypothesis that it has said before, in `hypothesis_words`.
    """

    id: str
    reference: str
    hypothesis: str
    duration_s: float
    words: ErrorCounts
    characters: ErrorCounts
    hypothesis_words: int
    repeated: int
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """Many clips as one: pooled counts, and the bounds of the WER's 95 % confidence interval."""

    clips: int
    audio_s: float
    words: ErrorCounts
    characters: ErrorCounts
    wer_low: float
    wer_high: float
    mean_clip_wer: float  # of min(1, WER) per clip: one runaway clip cannot hide the others
    repeated_per_1000: float  # repeated 5-grams per 1,000 words heard, counted within each clip

    @property
    def wer(self) -> float:
        """Pooled word error rate."""
        return self.words.rate

    @property
    def cer(self) -> float:
        """Pooled character error rate."""
        return self.characters.rate


def score_clip(
    id: str,
    reference: str,
    hypothesis: str,
    duration_s: float,
    normalise: Normaliser = english,
    speaker: str = "",
) -> ClipScore:
    """Score one pair of texts after `normalise`."""
    heard = normalise(hypothesis)
    return ClipScore(
        id=id,
        reference=reference,
        hypothesis=hypothesis,
        duration_s=duration_s,
        words=word_errors(reference, hypothesis, normalise),
        characters=character_errors(reference, hypothesis, normalise),
        hypothesis_words=len(heard.split()),
        repeated=repeated_ngrams(heard),
        speaker=speaker,
    )


def summarise(scores: Sequence[ClipScore], *, seed: int = 0) -> Summary:
    """Pool `scores`; the interval is drawn with `seed`."""
    low, high = bootstrap_interval([s.words for s in scores], seed=seed)
    heard = sum(s.hypothesis_words for s in scores)
    return Summary(
        clips=len(scores),
        audio_s=sum(s.duration_s for s in scores),
        words=pooled([s.words for s in scores]),
        characters=pooled([s.characters for s in scores]),
        wer_low=low,
        wer_high=high,
        mean_clip_wer=sum(min(1.0, s.words.rate) for s in scores) / max(1, len(scores)),
        repeated_per_1000=1000 * sum(s.repeated for s in scores) / max(1, heard),
    )


def pooled(counts: Sequence[ErrorCounts]) -> ErrorCounts:
    """The sum of `counts`."""
    return reduce(add, counts, ErrorCounts())


def bootstrap_interval(
    counts: Sequence[ErrorCounts], *, confidence: float = CONFIDENCE, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the pooled rate, clips drawn with replacement (Bisani and Ney, ICASSP 2004)."""
    if not counts:
        return 0.0, 0.0
    errors = np.array([c.errors for c in counts])
    lengths = np.array([c.reference_length for c in counts])
    drawn = np.random.default_rng(seed).integers(0, len(counts), size=(RESAMPLES, len(counts)))
    rates = errors[drawn].sum(axis=1) / np.maximum(1, lengths[drawn].sum(axis=1))
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(rates, [tail, 100 - tail])
    return float(low), float(high)


def by_speaker(scores: Sequence[ClipScore], *, seed: int = 0) -> dict[str, Summary]:
    """A summary for each speaker that is named, by name; empty where none is."""
    speakers = sorted({s.speaker for s in scores if s.speaker})
    return {name: summarise([s for s in scores if s.speaker == name], seed=seed) for name in speakers}


def worst(scores: Sequence[ClipScore], count: int) -> list[ClipScore]:
    """The `count` clips with most word errors among those that have any; ties by rate, then by id."""
    wrong = [s for s in scores if s.words.errors]
    return sorted(wrong, key=lambda s: (-s.words.errors, -s.words.rate, s.id))[:count]
