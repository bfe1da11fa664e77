"""One utterance, or the rest of it after a cut: its bounds, its committed words, its last decodes."""

from dataclasses import dataclass, replace
from enum import Enum

from voxray.streaming.agreement import Agreement, ended_before
from voxray.streaming.events import DecodeMode, HypothesisWord, samples, seconds


class Outcome(Enum):
    """The outcome of a decode in the mode of a final."""

    WAITING = "waiting"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(slots=True)
class Attempt:
    """A decode of the audio up to `end` in the mode of a final."""

    request: int
    end: int
    mode: DecodeMode
    outcome: Outcome = Outcome.WAITING


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

    def attempted(self, end: int) -> Attempt | None:
        """Return the attempt at a final of the audio up to `end`, if there is one."""
        return self.attempt if self.attempt and self.attempt.end == end else None

    def attempt_of(self, request: int) -> Attempt | None:
        """Return the attempt that a request was made for, if it is the present one."""
        return self.attempt if self.attempt and self.attempt.request == request else None

    def restart(self, at: int, count: int, asked: int) -> None:
        """Begin a new segment at `at`, after the first `count` words of a window that ends at `asked`."""
        rest = _later(self.best[count:], seconds(at - self.start))
        self.start = self.onset = at
        self.segment, self.attempt, self.end_sent, self.shown = None, None, False, ("", "")
        self.agreement = Agreement(self.agreement.policy, previous=rest)
        self.best, self.asked = rest, asked
        self.decoded = max(self.decoded, at)


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


def _later(words: tuple[HypothesisWord, ...], by_s: float) -> tuple[HypothesisWord, ...]:
    """Return `words` with times for a window that begins `by_s` later."""

    def moved(time_s: float | None) -> float | None:
        return None if time_s is None else time_s - by_s

    return tuple(replace(w, start_s=moved(w.start_s), end_s=moved(w.end_s)) for w in words)
