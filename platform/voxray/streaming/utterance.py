"""One utterance, or the rest of it after a cut: its bounds, its committed words, its last decodes.

Word times can be a few hundred milliseconds off, so that a cut may fall inside a word. The windows of what
follows therefore begin some words before it: these are decoded again, forced, and not sent again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from voxray.guards import GuardResult
from voxray.streaming.agreement import Agreement, Fit, ended_before, strip_punctuation
from voxray.streaming.events import DecodeMode, HypothesisWord, samples, seconds

OVERLAP_WORDS = 2  # before a cut
OVERLAP_S = 2.0  # at most
SHORTEST_WORD_S, LONGEST_WORD_S = 0.1, 1.0


class Outcome(Enum):
    """The outcome of a decode in the mode of a final."""

    WAITING = "waiting"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(slots=True)
class Attempt:
    """A decode of the audio up to `end` in the mode of a final.

    `truncated`: it passed, and its text goes on.
    """

    request: int
    end: int
    mode: DecodeMode
    outcome: Outcome = Outcome.WAITING
    truncated: bool = False

    def receive(self, fit: Fit, result: GuardResult, truncated: bool) -> None:
        """Receive what its hypothesis is taken for; a doubtful one passes in the last decode alone."""
        doubtful_passes = result is GuardResult.DOUBTFUL and self.mode is DecodeMode.FALLBACK
        passed = fit is not Fit.MISFIT and (result is GuardResult.SOUND or doubtful_passes)
        self.outcome = Outcome.PASSED if passed else Outcome.FAILED
        self.truncated = passed and truncated


@dataclass(frozen=True, slots=True)
class Overlap:
    """What windows after a cut hold of the segment before it: its last `words`, from `samples` earlier."""

    words: tuple[str, ...] = ()
    samples: int = 0


@dataclass(slots=True)
class Utterance:
    """Positions are in samples; those that are not known yet are None.

    `speech_end` and `end` are set during silence; once `ended`, they are final.
    """

    start: int
    onset: int
    agreement: Agreement
    decoded: int  # the end of the last window that was answered
    segment: int | None = None  # numbered when its start is sent
    speech_end: int | None = None
    end: int | None = None
    ended: bool = False
    end_sent: bool = False
    asked: int | None = None  # the end of the last window that a partial was asked for
    answered: int = -1  # the newest request that was answered
    attempt: Attempt | None = None
    best: tuple[HypothesisWord, ...] = ()  # the words of the last hypothesis that passed
    language: str | None = None  # that of the last hypothesis
    shown: tuple[str, str] = ("", "")  # the texts of the last partial
    overlap: Overlap = Overlap()

    @property
    def window_start(self) -> int:
        """Where its windows begin."""
        return self.start - self.overlap.samples

    @property
    def prefix(self) -> str:
        """The text to force on the next decode."""
        return "".join(self.overlap.words) + self.agreement.prefix

    def own_words(self, words: Sequence[HypothesisWord]) -> tuple[HypothesisWord, ...]:
        """Return those of a window's words that follow the overlap, with times from `start`."""
        return shifted(words[len(self.overlap.words) :], -seconds(self.overlap.samples))

    def attempted(self, end: int) -> Attempt | None:
        """Return the attempt at a final of the audio up to `end`, if there is one."""
        return self.attempt if self.attempt and self.attempt.end == end else None

    def attempt_of(self, request: int) -> Attempt | None:
        """Return the attempt that a request was made for, if it is the present one."""
        return self.attempt if self.attempt and self.attempt.request == request else None

    def restart(self, at: int, count: int, asked: int, *, overlap: bool) -> None:
        """Begin a new segment at `at`, after the first `count` words of a window that ends at `asked`."""
        rest = shifted(self.best[count:], -seconds(at - self.start))
        self.overlap = self._overlap(at, count) if overlap else Overlap()
        self.start = self.onset = at
        self.segment, self.attempt, self.end_sent, self.shown = None, None, False, ("", "")
        self.agreement = Agreement(self.agreement.policy, previous=rest)
        self.best, self.asked = rest, asked
        self.decoded = max(self.decoded, at)

    def unfinished_from(self, end: int, pause_s: float) -> int | None:
        """Return where the last word of a window up to `end` begins, if speech goes on after it; else None.

        Whisper can end a text at the end of a sentence, whatever follows. `pause_s`: the longest pause that
        an utterance has.
        """
        last = self.best[-1] if self.best else None
        if last is None or last.start_s is None or not 0 <= last.start_s <= seconds(end - self.start):
            return None
        word_start = self.start + samples(last.start_s)
        speech_end = end if self.speech_end is None else min(end, self.speech_end)
        missing_s = seconds(speech_end - word_start) - LONGEST_WORD_S - pause_s
        return word_start if missing_s > LONGEST_WORD_S else None

    def cut_place(self, end: int, margin_s: float) -> tuple[int, int]:
        """Return where to cut a window that ends at `end`, and how many words are before the cut.

        It is the last word that ends `margin_s` before the window does; the window's end if there is none.
        The last word of a truncated text does not count: alignment stretches it over what is missing.
        """
        length_s, attempt = seconds(end - self.start), self.attempted(end)
        whole = self.best[:-1] if attempt and attempt.truncated else self.best
        count = max(ended_before(whole, length_s - margin_s), len(self.agreement.committed))
        cut = cut_after(self.best, count, length_s, margin_s)
        return (end, len(self.best)) if cut is None else (self.start + cut, count)

    def _overlap(self, at: int, count: int) -> Overlap:
        """Return the last words before a cut at `at` after `count` words; none if the last has no time."""
        words = self.best[:count]
        for first in range(max(0, count - OVERLAP_WORDS), count):
            start_s = words[first].start_s
            length = at - self.start - samples(start_s) if start_s is not None else 0
            if 0 < length <= samples(OVERLAP_S):
                *texts, last = self.agreement.surfaces(words)[first:]
                return Overlap((*texts, strip_punctuation(last)), length)
        return Overlap()


def cut_after(words: tuple[HypothesisWord, ...], count: int, length_s: float, margin_s: float) -> int | None:
    """Return where to cut a window after its first `count` words, in samples from its start.

    The cut lies between the last of them and the next. It is None if the last of them has no end, or one less
    than `margin_s` before the window's.
    """
    if not 0 < count == ended_before(words[:count], length_s - margin_s):
        return None
    end_s = words[count - 1].end_s or 0.0
    next_s = words[count].start_s if count < len(words) else None
    if next_s is not None and end_s <= next_s <= length_s - margin_s:
        end_s = (end_s + next_s) / 2
    return samples(end_s) if samples(end_s) > 0 else None


def shifted(words: Sequence[HypothesisWord], by_s: float) -> tuple[HypothesisWord, ...]:
    """Return `words` with times `by_s` later."""

    def moved(time_s: float | None) -> float | None:
        return None if time_s is None else time_s + by_s

    return tuple(replace(w, start_s=moved(w.start_s), end_s=moved(w.end_s)) for w in words)
