"""The latency of a session's messages, counted from the arrival of the audio that they are about."""

from bisect import bisect_left
from collections.abc import Sequence

from voxray.serving.observe import Observe
from voxray.streaming.events import Event, Final, Partial, SpeechStart, samples


class Latency:
    """Observes `first_partial_s`, from an utterance's first speech to its first partial, and `final_s`, from
    its last speech to its final, so that the endpoint's silence is included.

    Both count from the arrival of that audio, which may be sooner or later than it was spoken. Finals of
    utterances that were cut for their length are left out: their time depends on where a word ends.
    """

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._ends: list[int] = []  # the end of all audio received ...
        self._times_s: list[float] = []  # ... by each of these times
        self._onset_s: float | None = None  # when the open utterance's first speech arrived
        self._cut_s: float | None = None  # where the last final was cut off

    def receive_audio(self, end: int, now_s: float) -> None:
        """Audio up to sample `end` has arrived. Call this before the events about it are sent."""
        self._ends.append(end)
        self._times_s.append(now_s)

    def send(self, events: Sequence[Event], now_s: float) -> None:
        """Observe the latency of `events`, which are sent now, in order."""
        for event, following in zip(events, [*events, None][1:], strict=True):
            if isinstance(event, SpeechStart):
                self._onset_s = None if event.at_s == self._cut_s else self._arrival_s(event.at_s)
            elif isinstance(event, Partial) and self._onset_s is not None:
                self._observe("first_partial_s", now_s - self._onset_s)
                self._onset_s = None
            elif isinstance(event, Final):
                cut = isinstance(following, SpeechStart) and following.at_s == event.end_s
                self._cut_s = event.end_s if cut else None
                if not cut and (arrived_s := self._arrival_s(event.end_s)) is not None:
                    self._observe("final_s", now_s - arrived_s)

    def forget(self, before: int) -> None:
        """Drop the times of audio before this sample; no later event may be about it."""
        count = bisect_left(self._ends, before)
        del self._ends[:count], self._times_s[:count]

    def _arrival_s(self, at_s: float) -> float | None:
        index = bisect_left(self._ends, samples(at_s))
        return self._times_s[index] if index < len(self._times_s) else None
