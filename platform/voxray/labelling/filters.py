"""Which labelled clips are trained on: a predicate over columns, so that another threshold costs nothing.

With a reference, a clip is kept iff that is not empty once normalised and 100 * WER < threshold
(Distil-Whisper, arXiv 2311.00430, section 3); characters count in languages written without spaces. Without
one, the label-free bounds decide. A clip that the corpus marks as no-speech is kept iff the teacher gave no
words.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from voxray.config import Config
from voxray.text import ErrorCounts, by_character, repeated_ngrams


class FilterOptions(Config):
    """The bounds; None switches one off."""

    wer_threshold: float | None = None
    """Drop labels with this WER or a higher one, in per cent (in distil: wer_threshold outside of filter)."""
    min_avg_logprob: float | None = -1.0
    """Least mean log-probability of a token; like the rest only where there is no reference."""
    max_compression_ratio: float | None = 2.4
    """Greatest ratio of the label's length to its length compressed."""
    max_no_speech_prob: float | None = 0.6
    """Greatest probability that nobody speaks."""
    max_chars_per_s: float | None = 30.0
    """Greatest number of characters per second."""
    max_repeated_ngrams: int | None = 0
    """Greatest number of 5-grams that occurred before in the label."""
    weight_sigma: float | None = None
    """Of `weights`: exp(-WER / sigma); training does not weigh clips yet."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the predicate looks at: one row of a labelled corpus. `counts` is None without a reference."""

    pseudo_text: str
    language: str
    no_speech: bool
    counts: ErrorCounts | None
    avg_logprob: float
    no_speech_prob: float | None
    compression_ratio: float
    chars_per_s: float


COLUMNS = [
    *("pseudo_text", "language", "no_speech", "text", "reference_length", "substitutions", "deletions"),
    *("insertions", "avg_logprob", "no_speech_prob", "compression_ratio", "chars_per_s"),
]


def evidence(table: pa.Table) -> list[Evidence]:
    """One per row of a labelled corpus (`labelled.read_table`)."""
    return [_evidence(row) for row in table.select(COLUMNS).to_pylist()]


def keep_mask(table: pa.Table, options: FilterOptions) -> list[bool]:
    """Whether each row is kept."""
    return [reason_against(e, options) is None for e in evidence(table)]


def count_reasons(table: pa.Table, options: FilterOptions) -> dict[str, int]:
    """How many rows each reason drops, the most frequent first."""
    reasons = (reason_against(e, options) for e in evidence(table))
    return dict(Counter(r for r in reasons if r).most_common())


def weights(table: pa.Table, options: FilterOptions) -> list[float]:
    """Each row's weight in the loss: exp(-WER / sigma), 1 without a sigma or a reference."""
    return [weight(e, options) for e in evidence(table)]


def weight(clip: Evidence, options: FilterOptions) -> float:
    """exp(-WER / sigma) of one clip, in (0, 1]."""
    if options.weight_sigma is None or clip.counts is None:
        return 1.0
    return math.exp(-clip.counts.rate / options.weight_sigma)


def reason_against(clip: Evidence, options: FilterOptions) -> str | None:
    """Why `clip` is dropped, None where it is kept."""
    if clip.no_speech:
        return "words in a clip without speech" if clip.pseudo_text.strip() else None
    if clip.counts is not None:
        return _against_reference(clip.counts, options.wer_threshold)
    return _against_label(clip, options)


def _against_reference(counts: ErrorCounts, threshold: float | None) -> str | None:
    if not counts.reference_length:
        return "empty reference"
    # Multiplied out: 100 * (29 / 100) is less than 29 in floating point.
    if threshold is not None and 100 * counts.errors >= threshold * counts.reference_length:
        return "error rate"
    return None


def _against_label(clip: Evidence, options: FilterOptions) -> str | None:
    if not clip.pseudo_text.strip():
        return "no words"
    if _below(clip.avg_logprob, options.min_avg_logprob):
        return "log-probability"
    if _above(clip.compression_ratio, options.max_compression_ratio):
        return "compression ratio"
    if _above(clip.no_speech_prob, options.max_no_speech_prob):
        return "no-speech probability"
    if _above(clip.chars_per_s, options.max_chars_per_s):
        return "characters per second"
    if _above(repeats(clip.pseudo_text, clip.language), options.max_repeated_ngrams):
        return "repeated 5-grams"
    return None


def repeats(text: str, language: str) -> int:
    """Repeated 5-grams of words, or of characters in a language written without spaces."""
    return repeated_ngrams(" ".join(text.replace(" ", "")) if by_character(language) else text)


def _below(value: float, bound: float | None) -> bool:
    return bound is not None and value < bound


def _above(value: float | None, bound: float | None) -> bool:
    return bound is not None and value is not None and value > bound


def _evidence(row: dict[str, Any]) -> Evidence:
    counts = None
    if row["text"] is not None:
        counts = ErrorCounts(
            row["reference_length"], row["substitutions"], row["deletions"], row["insertions"]
        )
    return Evidence(
        pseudo_text=row["pseudo_text"],
        language=row["language"],
        no_speech=row["no_speech"],
        counts=counts,
        avg_logprob=row["avg_logprob"],
        no_speech_prob=row["no_speech_prob"],
        compression_ratio=row["compression_ratio"],
        chars_per_s=row["chars_per_s"],
    )
