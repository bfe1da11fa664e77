"""One utterance, or what is left of it after a cut: its bounds, its committed words, its last decodes."""

from dataclasses import dataclass, replace
from enum import Enum

from voxray.streaming.agreement import Agreement, Policy, ended_before
from voxray.streaming.events import DecodeMode, HypothesisWord, samples, seconds


class Outcome(Enum):
    """What came of a decode that was meant to be a final."""

    WAITING = "waiting"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(slots=True)
class Attempt:
    """A decode with a final's mode of the audio up to `end`."""

    request: int
    end: int
    mode: DecodeMode
    outcome: Outcome = Outcome.WAITING


@dataclass(slots=True)
class Utterance:
    """Positions in samples; None is what has not been reached.

    `speech_end` and `end` are set while nobody speaks; `ended` says that it stays so.
    """

    start: int
    onset: int
    agreement: Agreement
    decoded: int  # where the last window that was answered ended
    segment: int | None = None  # numbered when it is told of
    speech_end: int | None = None
    end: int | None = None
    ended: bool = False
    end_told: bool = False
    asked: int | None = None  # where the last partial window that was asked for ended
    answered: int = -1  # the newest request that was answered
    attempt: Attempt | None = None
    best: tuple[HypothesisWord, ...] = ()  # the last hypothesis that can be shown
    language: str | None = None  # that of the last hypothesis
    shown: tuple[str, str] = ("", "")  # the last partial

    def attempted(self, end: int) -> Attempt | None:
        """The attempt at a final of the audio up to `end`, if there is one."""
        return self.attempt if self.attempt and self.attempt.end == end else None

    def attempt_of(self, request: int) -> Attempt | None:
        """The attempt that a request was made for."""
        return self.attempt if self.attempt and self.attempt.request == request else None

    def restart(self, at: int, count: int, asked: int) -> None:
        """Go on as a new segment from `at`, after `count` words of the window that ended at `asked`."""
        rest = _later(self.best[count:], seconds(at - self.start))
        self.start = self.onset = at
        self.segment, self.attempt, self.end_told, self.shown = None, None, False, ("", "")
        self.agreement = Agreement(self.agreement.policy, previous=rest)
        self.best, self.asked = rest, asked
        self.decoded = max(self.decoded, at)


def opened(start: int, onset: int, policy: Policy) -> Utterance:
    """An utterance that has just begun."""
    return Utterance(start, onset, Agreement(policy), decoded=start)


def cut_after(words: tuple[HypothesisWord, ...], count: int, length_s: float, margin_s: float) -> int | None:
    """Samples from the window's start to just after its first `count` words; None where that is no place.

    It lies between the last of them and the next; the last must end `margin_s` before the window does.
    """
    if not 0 < count == ended_before(words[:count], length_s - margin_s):
        return None
    end_s = words[count - 1].end_s or 0.0
    next_s = words[count].start_s if count < len(words) else None
    if next_s is not None and end_s <= next_s <= length_s - margin_s:
        end_s = (end_s + next_s) / 2
    return samples(end_s) if samples(end_s) > 0 else None


def _later(words: tuple[HypothesisWord, ...], by_s: float) -> tuple[HypothesisWord, ...]:
    """`words` in a window that begins `by_s` later."""

    def moved(time_s: float | None) -> float | None:
        return None if time_s is None else time_s - by_s

    return tuple(replace(w, start_s=moved(w.start_s), end_s=moved(w.end_s)) for w in words)
