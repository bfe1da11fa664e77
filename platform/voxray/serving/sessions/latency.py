"""How long after its audio had come a client was told what was said in it."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from voxray.streaming.events import Event, Final, Partial, SpeechStart, samples

Observe = Callable[[str, float], None]
"""Takes a metric's name and one value of it; names that end in `_s` are seconds."""


def unobserved(name: str, value: float) -> None:
    """For hosts that nobody watches."""


class Latency:
    """Observes `first_partial_s`, from an utterance's first speech to its first partial, and `final_s`, from
    its last speech (so that the endpoint's silence is in it) to its final.

    Both count from when that audio came, be it sooner or later than it was spoken. Cuts of long utterances
    are left out: they come when a word allows it.
    """

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._ends: list[int] = []  # where the audio ended that had come ...
        self._times_s: list[float] = []  # ... by then
        self._begun_s: float | None = None  # when the open utterance's first speech came
        self._cut_s: float | None = None  # where the last final was cut off

    def arrived(self, end: int, now_s: float) -> None:
        """Audio up to sample `end` has come."""
        self._ends.append(end)
        self._times_s.append(now_s)

    def told(self, events: Sequence[Event], now_s: float) -> None:
        """The client is told of `events`, in order."""
        for event, following in zip(events, [*events, None][1:], strict=True):
            if isinstance(event, SpeechStart):
                self._begun_s = None if event.at_s == self._cut_s else self._arrival_s(event.at_s)
            elif isinstance(event, Partial) and self._begun_s is not None:
                self._observe("first_partial_s", now_s - self._begun_s)
                self._begun_s = None
            elif isinstance(event, Final):
                cut = isinstance(following, SpeechStart) and following.at_s == event.end_s
                self._cut_s = event.end_s if cut else None
                if not cut and (came_s := self._arrival_s(event.end_s)) is not None:
                    self._observe("final_s", now_s - came_s)

    def forget(self, before: int) -> None:
        """Nothing before this sample will be told of."""
        count = bisect_left(self._ends, before)
        del self._ends[:count], self._times_s[:count]

    def _arrival_s(self, at_s: float) -> float | None:
        index = bisect_left(self._ends, samples(at_s))
        return self._times_s[index] if index < len(self._times_s) else None
