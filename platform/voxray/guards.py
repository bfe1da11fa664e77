"""Checks whether a decoded text can be speech: the checks of openai/whisper (transcribe.py), and loops.

The defaults are Whisper's published bounds. A score that was not computed passes.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from voxray.text import MAX_COMPRESSION_RATIO
from voxray.word_segmentation import split_words
from voxray.writing_systems import UNSPACED

STRETCH_WORDS = 5
STRETCH_CHARACTERS = 10  # about five words, where a script has no spaces


class GuardResult(Enum):
    """What a text is taken for."""

    SOUND = "sound"
    DOUBTFUL = "doubtful"  # improbable, and nothing worse: better than no text
    LOOP = "loop"  # the decoder repeats itself
    SILENCE = "silence"  # words without speech, or none that can be understood


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
    min_speech_logprob: float = -1.2  # of 38 words of noisy or accented speech below it, 10 were right
    max_compression_ratio: float = MAX_COMPRESSION_RATIO
    max_repetitions: int = 3  # of a stretch of words after its first time; "six" said eight times has three

    def check(self, decoded: Scored) -> GuardResult:
        """Return the worst result that applies to `decoded`; one without words is sound."""
        if not decoded.text:
            return GuardResult.SOUND
        if _less_than(decoded.avg_logprob, self.min_speech_logprob):
            return GuardResult.SILENCE
        improbable = _less_than(decoded.avg_logprob, self.min_avg_logprob)
        if (improbable or decoded.avg_logprob is None) and _greater_than(
            decoded.no_speech_prob, self.max_no_speech_prob
        ):
            return GuardResult.SILENCE
        if self.is_loop(decoded.text, decoded.compression_ratio):
            return GuardResult.LOOP
        return GuardResult.DOUBTFUL if improbable else GuardResult.SOUND

    def is_loop(self, text: str, compression_ratio: float | None) -> bool:
        """Say whether `text` is too compressible, or a stretch of it occurs too often."""
        too_compressible = _greater_than(compression_ratio, self.max_compression_ratio)
        return too_compressible or most_repetitions(text) > self.max_repetitions


def most_repetitions(text: str) -> int:
    """Return how often the most frequent stretch of `text` occurs again after its first time.

    A stretch is five words, or ten characters in a text of scripts without spaces, whatever its language.
    """
    words = [word.strip() for word in split_words(text)]
    unspaced = 2 * sum(UNSPACED.search(word) is not None for word in words) > len(words)
    n = STRETCH_CHARACTERS if unspaced else STRETCH_WORDS
    stretches = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    return max(stretches.values(), default=1) - 1


def _greater_than(value: float | None, bound: float) -> bool:
    return value is not None and value > bound


def _less_than(value: float | None, bound: float) -> bool:
    return value is not None and value < bound
