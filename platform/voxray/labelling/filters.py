"""Which labelled clips are trained on: a predicate over columns, so that another threshold costs nothing.

With a reference, a clip is kept iff that is not empty once normalised and 100 * WER < threshold
(Distil-Whisper, arXiv 2311.00430, section 3); characters count in languages written without spaces. Without
one, the label-free bounds decide. A clip that the corpus marks as no-speech is kept iff the teacher gave no
words.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from voxray.config import Config
from voxray.text import ErrorCounts, repeated_ngrams, text_language


class FilterOptions(Config):
    """The bounds; None switches one off."""

    wer_threshold: float | None = None  # per cent, strict; the paper trains at 10
    min_avg_logprob: float | None = -1.0  # this and what follows: only where there is no reference
    max_compression_ratio: float | None = 2.4
    max_no_speech_prob: float | None = 0.6
    max_chars_per_s: float | None = 30.0
    max_repeated_ngrams: int | None = 0  # 5-grams that have occurred before


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the predicate looks at: one row of a labelled corpus.

    `language` is that of the text; `counts` is None without a reference.
    """

    pseudo_text: str
    language: str
    no_speech: bool
    counts: ErrorCounts | None
    avg_logprob: float
    no_speech_prob: float | None
    compression_ratio: float
    chars_per_s: float


COLUMNS = [
    *(
        "pseudo_text",
        "language",
        "task",
        "no_speech",
        "text",
        "reference_length",
        "substitutions",
        "deletions",
    ),
    *("insertions", "avg_logprob", "no_speech_prob", "compression_ratio", "chars_per_s"),
]


def evidence(table: pa.Table) -> list[Evidence]:
    """Return the evidence of each row of a labelled corpus (`labelled.read_table`)."""
    return [_evidence(row) for row in table.select(COLUMNS).to_pylist()]


def keep_mask(table: pa.Table, options: FilterOptions) -> list[bool]:
    """Say of each row whether it is kept."""
    return [reason_against(e, options) is None for e in evidence(table)]


def count_reasons(table: pa.Table, options: FilterOptions) -> dict[str, int]:
    """Count the rows that each reason drops, the most frequent first."""
    reasons = (reason_against(e, options) for e in evidence(table))
    return dict(Counter(r for r in reasons if r).most_common())


def reason_against(clip: Evidence, options: FilterOptions) -> str | None:
    """Say why `clip` is dropped; None where it is kept."""
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
    if _above(repeated_ngrams(clip.pseudo_text, language=clip.language), options.max_repeated_ngrams):
        return "repeated 5-grams"
    return None


def _below(value: float, bound: float | None) -> bool:
    return bound is not None and value < bound


def _above(value: float | None, bound: float | None) -> bool:
    return bound is not None and value is not None and value > bound


def _evidence(row: dict[str, Any]) -> Evidence:
    counts = None
    if row["reference_length"] is not None:
        counts = ErrorCounts(
            row["reference_length"], row["substitutions"], row["deletions"], row["insertions"]
        )
    return Evidence(
        pseudo_text=row["pseudo_text"],
        language=text_language(row["language"], row["task"]),
        no_speech=row["no_speech"],
        counts=counts,
        avg_logprob=row["avg_logprob"],
        no_speech_prob=row["no_speech_prob"],
        compression_ratio=row["compression_ratio"],
        chars_per_s=row["chars_per_s"],
    )
