"""Which labelled clips are trained on: a predicate over columns, so that another threshold costs nothing.

With a reference, a clip is kept iff that is not empty once normalised and 100 * WER < threshold
(Distil-Whisper, arXiv 2311.00430, section 3); characters count in languages written without spaces. Without
one, the label-free bounds decide. A clip that the corpus marks as no-speech is kept iff its label has no
words.
"""

from collections import Counter
from dataclasses import dataclass, fields

import pyarrow as pa

from voxray.config import Config
from voxray.text import MAX_COMPRESSION_RATIO, repeated_ngrams, text_language


class FilterOptions(Config):
    """The bounds; None switches one off."""

    wer_threshold: float | None = None
    """WER in per cent from which a label is dropped; Distil-Whisper trains at 10."""
    min_avg_logprob: float | None = -1.0
    """Without a reference: the lowest mean log-probability of a token that is kept."""
    max_compression_ratio: float | None = MAX_COMPRESSION_RATIO
    """Without a reference: the highest compression ratio that is kept."""
    max_no_speech_prob: float | None = 0.6
    """Without a reference: the highest probability of no speech that is kept."""
    max_chars_per_s: float | None = 30.0
    """Without a reference: the most characters per second that are kept."""
    max_repeated_ngrams: int | None = 0
    """Without a reference: the most 5-grams that may occur again."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The columns of a labelled corpus that decide; `reference_length` is None without a reference."""

    pseudo_text: str
    language: str
    task: str | None
    no_speech: bool
    reference_length: int | None
    substitutions: int
    deletions: int
    insertions: int
    avg_logprob: float
    no_speech_prob: float | None
    compression_ratio: float
    chars_per_s: float


def evidence(table: pa.Table) -> list[Evidence]:
    """Return the evidence of each row of a labelled corpus (`labelled.read_table`)."""
    rows = table.select([column.name for column in fields(Evidence)]).to_pylist()
    return [Evidence(**row) for row in rows]


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
    if clip.reference_length is None:
        return _against_label(clip, options)
    if not clip.reference_length:
        return "empty reference"
    errors, threshold = clip.substitutions + clip.deletions + clip.insertions, options.wer_threshold
    # Multiplied out: 100 * (29 / 100) is less than 29 in floating point.
    if threshold is not None and 100 * errors >= threshold * clip.reference_length:
        return "error rate"
    return None


def _against_label(clip: Evidence, options: FilterOptions) -> str | None:
    if not clip.pseudo_text.strip():
        return "no words"
    if _less_than(clip.avg_logprob, options.min_avg_logprob):
        return "log-probability"
    if _greater_than(clip.compression_ratio, options.max_compression_ratio):
        return "compression ratio"
    if _greater_than(clip.no_speech_prob, options.max_no_speech_prob):
        return "no-speech probability"
    if _greater_than(clip.chars_per_s, options.max_chars_per_s):
        return "characters per second"
    language = text_language(clip.language, clip.task)
    if _greater_than(repeated_ngrams(clip.pseudo_text, language=language), options.max_repeated_ngrams):
        return "repeated 5-grams"
    return None


def _less_than(value: float, bound: float | None) -> bool:
    return bound is not None and value < bound


def _greater_than(value: float | None, bound: float | None) -> bool:
    return bound is not None and value is not None and value > bound
