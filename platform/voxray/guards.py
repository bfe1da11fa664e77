"""Checks whether a decoded text can be speech: the checks of openai/whisper (transcribe.py), and loops.

The defaults are Whisper's published bounds. A score that was not computed passes.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from voxray.text import MAX_COMPRESSION_RATIO, repeated_ngrams


class GuardResult(Enum):
    """What a text is taken for."""

    SOUND = "sound"
    DOUBTFUL = "doubtful"  # improbable, and nothing worse: better than no text
    LOOP = "loop"  # the decoder repeats itself
    SILENCE = "silence"  # words without speech


class Scored(Protocol):
    """A text and what its decoding scored: live hypotheses and results of files alike."""

    @property
    def text(self) -> str:
        """The text; empty where nothing was said."""
        ...

    @property
    def avg_logprob(self) -> float | None:
        """The mean log-probability per token."""
        ...

    @property
    def no_speech_prob(self) -> float | None:
        """The probability of `<|nospeech|>`."""
        ...

    @property
    def compression_ratio(self) -> float | None:
        """The compression ratio of the text (`voxray.text.compression_ratio`)."""
        ...


@dataclass(frozen=True, slots=True)
class Guards:
    """The bounds of each score."""

    max_no_speech_prob: float = 0.6  # counts only where the log-probability is low too
    min_avg_logprob: float = -1.0
    max_compression_ratio: float = MAX_COMPRESSION_RATIO
    max_repeated_ngrams: int = 2  # word 5-grams that occurred before; "six six six six six six" has one

    def check(self, decoded: Scored) -> GuardResult:
        """Return the worst result that applies to `decoded`; one without words is sound."""
        if not decoded.text:
            return GuardResult.SOUND
        improbable = _less_than(decoded.avg_logprob, self.min_avg_logprob)
        if (improbable or decoded.avg_logprob is None) and _greater_than(
            decoded.no_speech_prob, self.max_no_speech_prob
        ):
            return GuardResult.SILENCE
        if _greater_than(decoded.compression_ratio, self.max_compression_ratio) or _greater_than(
            repeated_ngrams(decoded.text), self.max_repeated_ngrams
        ):
            return GuardResult.LOOP
        return GuardResult.DOUBTFUL if improbable else GuardResult.SOUND


def _greater_than(value: float | None, bound: float) -> bool:
    return value is not None and value > bound


def _less_than(value: float | None, bound: float) -> bool:
    return value is not None and value < bound
