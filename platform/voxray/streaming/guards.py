"""Whether a hypothesis can be speech: the tests of openai/whisper (transcribe.py), and loops.

Whisper's published bounds are the defaults. What was not scored is not held against a hypothesis.
"""

from dataclasses import dataclass
from enum import Enum

from voxray.streaming.events import Hypothesis
from voxray.text import repeated_ngrams


class Verdict(Enum):
    """What the guards say."""

    SOUND = "sound"
    DOUBTFUL = "doubtful"  # improbable, and nothing worse: better than nothing where no other came
    LOOP = "loop"  # the decoder repeats itself
    SILENCE = "silence"  # words where nobody spoke


@dataclass(frozen=True, slots=True)
class Guards:
    """The bounds."""

    max_no_speech_prob: float = 0.6  # counts only where the log-probability is low too
    min_avg_logprob: float = -1.0
    max_compression_ratio: float = 2.4
    max_repeated_ngrams: int = 2  # word 5-grams that occurred before; "six six six six six six" has one

    def judge(self, hypothesis: Hypothesis) -> Verdict:
        """The worst that can be said of `hypothesis`; nothing where it has no words."""
        if not hypothesis.words:
            return Verdict.SOUND
        improbable = _below(hypothesis.avg_logprob, self.min_avg_logprob)
        if (improbable or hypothesis.avg_logprob is None) and _above(
            hypothesis.no_speech_prob, self.max_no_speech_prob
        ):
            return Verdict.SILENCE
        if _above(hypothesis.compression_ratio, self.max_compression_ratio) or _above(
            repeated_ngrams(hypothesis.text), self.max_repeated_ngrams
        ):
            return Verdict.LOOP
        return Verdict.DOUBTFUL if improbable else Verdict.SOUND


def _above(value: float | None, bound: float) -> bool:
    return value is not None and value > bound


def _below(value: float | None, bound: float) -> bool:
    return value is not None and value < bound
