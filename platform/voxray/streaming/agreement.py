"""Which words of an utterance are committed: they never change again, whatever engines say later.

`agreement` is LocalAgreement-2 (Liu et al., Low-Latency Sequence-to-Sequence Speech Recognition, 2020): the
longest common prefix of two successive hypotheses, but for the newer one's last word. `attention` keeps the
words that end more than 0.5 s before the audio does (after AlignAtt, Papi et al., 2023).

Committed words are forced on the decoder. Where it then goes on inside a word ("six" + "teen"), the prefix
ended too early: that word is given up where the client has not seen it; else it stays, and is not forced
again until another follows it.
"""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from voxray.streaming.events import Hypothesis, HypothesisWord


class Policy(Enum):
    """How words come to be committed."""

    AGREEMENT = "agreement"
    ATTENTION = "attention"


ATTENTION_MARGIN_S = 0.5


class Fit(Enum):
    """How a hypothesis relates to what is committed."""

    WHOLE = "whole"  # it begins with the committed words
    INSIDE = "inside"  # it does, but the last of them is only the beginning of a word
    MISFIT = "misfit"  # it does not


def is_punctuation(text: str) -> bool:
    """Whether nothing but punctuation and space is in `text`."""
    return all(unicodedata.category(c)[0] == "P" or c.isspace() for c in text)


def strip_punctuation(word: str) -> str:
    """`word` without the punctuation and space at its end."""
    end = len(word)
    while end and is_punctuation(word[end - 1]):
        end -= 1
    return word[:end]


def match_key(word: str) -> str:
    """What words are compared by: folded case, no punctuation at either edge."""
    return strip_punctuation(strip_punctuation(word)[::-1])[::-1].casefold()


def normalize_words(hypothesis: Hypothesis) -> tuple[HypothesisWord, ...]:
    """The words that have any text, each with one space before it or none."""
    words = []
    for word in hypothesis.words:
        text = " ".join(word.text.split())
        if text:
            words.append(replace(word, text=" " * word.text[0].isspace() + text))
    return tuple(words)


def ended_before(words: Iterable[HypothesisWord], time_s: float) -> int:
    """How many words, from the first on, are known to end by `time_s` seconds into the window."""
    count = 0
    for word in words:
        if not (word.end_s is not None and math.isfinite(word.end_s) and word.end_s <= time_s):
            break
        count += 1
    return count


@dataclass(slots=True)
class Agreement:
    """The committed words of one segment, each as it stands in the text, its leading space included.

    `sent` of them are known to the client as stable. The last has no punctuation at its end until the next is
    committed.
    """

    policy: Policy = Policy.AGREEMENT
    committed: list[str] = field(default_factory=list)
    sent: int = 0
    previous: tuple[HypothesisWord, ...] = ()
    half: bool = False  # the last committed word was found to be the beginning of a longer one

    @property
    def stable(self) -> str:
        """The committed text."""
        return "".join(self.committed).lstrip()

    @property
    def prefix(self) -> str:
        """The text to force on the next decode, as the engine wrote it."""
        return "".join(self.committed[:-1] if self.half else self.committed)

    def fit(self, words: Sequence[HypothesisWord]) -> Fit:
        """How `words`, all that a window holds, relate to the committed ones."""
        known = [match_key(w) for w in self.committed]
        heard = [match_key(w.text) for w in words[: len(known)]]
        if heard == known:
            return Fit.WHOLE
        if heard[: len(known) - 1] != known[:-1]:
            return Fit.MISFIT
        if self.half:
            return Fit.WHOLE  # that word was free, and what stands in its place is left out
        cut = len(heard) == len(known) and heard[-1].startswith(known[-1])
        return Fit.INSIDE if cut else Fit.MISFIT

    def shorten(self) -> None:
        """Give up the last word, found to be half a one; if the client has it, only stop forcing it."""
        if len(self.committed) > self.sent:
            self._commit(self.committed[:-1])
        else:
            self.half = True

    def hear(self, words: tuple[HypothesisWord, ...], length_s: float, at_most: int | None = None) -> None:
        """Commit what the policy allows of `words` (heard in a window of `length_s`), `at_most` so many."""
        if self.policy is Policy.ATTENTION:
            count = ended_before(words, length_s - ATTENTION_MARGIN_S)
        else:
            count = min(self._agreed(words), len(words) - 1)
        self.previous = words
        self.accept(words, count if at_most is None else min(count, at_most))

    def accept(self, words: Sequence[HypothesisWord], count: int) -> None:
        """Commit the first `count` of `words`, but for those at the end that are only punctuation."""
        while count > len(self.committed) and not match_key(words[count - 1].text):
            count -= 1
        if count > len(self.committed):
            self._commit(self.surfaces(words[:count]))

    def surfaces(self, words: Sequence[HypothesisWord]) -> list[str]:
        """The segment's words as text: the committed ones, then those of `words` that follow them."""
        known = len(self.committed)
        texts = [*self.committed, *(w.text for w in words[known:])]
        if 0 < known <= len(words):
            texts[known - 1] += self._closing(words[known - 1].text)
        return texts

    def aligned(self, words: tuple[HypothesisWord, ...]) -> tuple[HypothesisWord, ...]:
        """`words` with the committed ones as they were committed, in the place of what was heard there."""
        return tuple(replace(w, text=t) for w, t in zip(words, self.surfaces(words), strict=False))

    def unstable(self, words: Sequence[HypothesisWord]) -> str:
        """What follows the committed text in `words`; `stable + unstable` is the text."""
        text = "".join(self.surfaces(words))[len("".join(self.committed)) :]
        return text if self.committed else text.lstrip()

    def _closing(self, word: str) -> str:
        """The punctuation that `word` has after the last committed one, if that is what it is."""
        last = self.committed[-1].strip()
        rest = word.strip().removeprefix(last)
        return rest if word.strip().startswith(last) and is_punctuation(rest) else ""

    def _agreed(self, words: Sequence[HypothesisWord]) -> int:
        known = count = len(self.committed)
        for old, new in zip(self.previous[known:], words[known:], strict=False):
            if match_key(old.text) != match_key(new.text):
                break
            count += 1
        return count

    def _commit(self, texts: list[str]) -> None:
        """`texts` are committed, the last without punctuation at its end."""
        if texts:
            texts[-1] = strip_punctuation(texts[-1])
        self.committed, self.half = texts, False
