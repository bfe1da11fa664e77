"""Decides which words of an utterance are committed, and never change again.

`agreement` is LocalAgreement-2 (Liu et al., Low-Latency Sequence-to-Sequence Speech Recognition, 2020): the
longest common prefix of two successive hypotheses, without the newer one's last word. Where decodes are rare,
that takes long: of a probable hypothesis with times, the words that end 0.5 s before the audio does are
committed at once. `attention` commits those of any hypothesis (after AlignAtt, Papi et al., 2023).

Committed words are forced on the decoder. If it then continues inside a word ("six" + "teen"), the prefix
ended too early: if the client has not seen that word, it is given up; otherwise it stays, and is not forced
again until another follows it.
"""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from voxray.streaming.events import Hypothesis, HypothesisWord


class Policy(Enum):
    """How words are committed."""

    AGREEMENT = "agreement"
    ATTENTION = "attention"


ATTENTION_MARGIN_S = 0.5  # before the end of the audio


class Fit(Enum):
    """How a hypothesis relates to what is committed."""

    WHOLE = "whole"  # begins with the committed words
    INSIDE = "inside"  # does so, but the last of them is only the beginning of a word
    MISFIT = "misfit"  # does not


def is_punctuation(text: str) -> bool:
    """Return whether `text` holds nothing but punctuation and space."""
    return all(unicodedata.category(c)[0] == "P" or c.isspace() for c in text)


def strip_punctuation(word: str) -> str:
    """Return `word` without the punctuation and space at its end."""
    end = len(word)
    while end and is_punctuation(word[end - 1]):
        end -= 1
    return word[:end]


def match_key(word: str) -> str:
    """Return what words are compared by: `word` in folded case, without punctuation at either edge."""
    return strip_punctuation(strip_punctuation(word)[::-1])[::-1].casefold()


def normalize_words(hypothesis: Hypothesis) -> tuple[HypothesisWord, ...]:
    """Return the words that have text, each with one leading space or none."""
    words = []
    for word in hypothesis.words:
        text = " ".join(word.text.split())
        if text:
            words.append(replace(word, text=" " * word.text[0].isspace() + text))
    return tuple(words)


def ended_before(words: Iterable[HypothesisWord], time_s: float) -> int:
    """Count the words, from the first on, that are known to end by `time_s` seconds into the window."""
    count = 0
    for word in words:
        if not (word.end_s is not None and math.isfinite(word.end_s) and word.end_s <= time_s):
            break
        count += 1
    return count


@dataclass(slots=True)
class Agreement:
    """The committed words of one segment, as they are in the text, leading spaces included.

    The first `sent` of them were sent to the client as stable. The last one gets the punctuation at its end
    when the next is committed.
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
        """The text to force on the next decode."""
        return "".join(self.committed[:-1] if self.half else self.committed)

    def fit(self, words: Sequence[HypothesisWord]) -> Fit:
        """Return how `words`, those of a whole window, relate to the committed ones."""
        known = [match_key(w) for w in self.committed]
        found = [match_key(w.text) for w in words[: len(known)]]
        if found == known:
            return Fit.WHOLE
        if found[: len(known) - 1] != known[:-1]:
            return Fit.MISFIT
        if self.half:
            return Fit.WHOLE  # the last word was not forced: another in its place is ignored
        cut = len(found) == len(known) and found[-1].startswith(known[-1])
        return Fit.INSIDE if cut else Fit.MISFIT

    def shorten(self) -> None:
        """Give up the last word, which is only half a word; if it was sent, only stop forcing it."""
        if len(self.committed) > self.sent:
            self._commit(self.committed[:-1])
        else:
            self.half = True

    def update(
        self,
        words: tuple[HypothesisWord, ...],
        length_s: float,
        at_most: int | None = None,
        *,
        probable: bool = False,
    ) -> int:
        """Commit what the policy allows of `words`, those of a window of `length_s`, up to `at_most`.

        Return how many the policy allows.
        """
        if self.policy is Policy.ATTENTION:
            count = ended_before(words, length_s - ATTENTION_MARGIN_S)
        else:
            count = min(self._agreed(words), len(words) - 1)
            if probable:
                count = max(count, ended_before(words[:-1], length_s - ATTENTION_MARGIN_S))
        self.previous = words
        self.accept(words, count if at_most is None else min(count, at_most))
        return count

    def agrees_but_for_last(self, words: Sequence[HypothesisWord]) -> bool:
        """Return whether the hypothesis before `words` has all of them, the last one excepted."""
        return self._agreed(words) >= len(words) - 1

    def accept(self, words: Sequence[HypothesisWord], count: int) -> None:
        """Commit the first `count` of `words`, without those at the end that are only punctuation."""
        while count > len(self.committed) and not match_key(words[count - 1].text):
            count -= 1
        if count > len(self.committed):
            self._commit(self.surfaces(words[:count]))

    def surfaces(self, words: Sequence[HypothesisWord]) -> list[str]:
        """Return the segment's words as text: the committed ones, then those of `words` after them."""
        known = len(self.committed)
        texts = [*self.committed, *(w.text for w in words[known:])]
        if 0 < known <= len(words):
            texts[known - 1] += self._closing(words[known - 1].text)
        return texts

    def aligned(self, words: tuple[HypothesisWord, ...]) -> tuple[HypothesisWord, ...]:
        """Return `words` with the text of the committed ones in the place of the first."""
        return tuple(replace(w, text=t) for w, t in zip(words, self.surfaces(words), strict=False))

    def unstable(self, words: Sequence[HypothesisWord]) -> str:
        """Return the text of `words` after the committed text; `stable + unstable` is the whole text."""
        text = "".join(self.surfaces(words))[len("".join(self.committed)) :]
        return text if self.committed else text.lstrip()

    def _closing(self, word: str) -> str:
        """Return the punctuation with which `word` continues the last committed word, if it does."""
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
        """Replace the committed words by `texts`, the last without the punctuation at its end."""
        if texts:
            texts[-1] = strip_punctuation(texts[-1])
        self.committed, self.half = texts, False
