"""How much new audio a session has before it asks for another partial: more while decodes take long."""

from dataclasses import dataclass

FIRST_S = 0.3  # after the onset
LONGEST_S = 2.0  # whatever the load
SMOOTHING = 0.5  # weight of the newest answer's time in their moving average


@dataclass(slots=True)
class DecodeInterval:
    """The time from asking for a decode to its answer, and the interval between decodes that follows from it.

    The decodes of one session then fill at most half of its time, so that a loaded engine gets fewer of them.
    """

    shortest_s: float = 0.5
    answer_s: float = 0.0

    def receive_answer(self, took_s: float) -> None:
        """A decode was answered after `took_s`."""
        self.answer_s += SMOOTHING * (max(0.0, took_s) - self.answer_s)

    @property
    def seconds(self) -> float:
        """Seconds of audio from one window's end to the next one's."""
        return max(self.shortest_s, min(2 * self.answer_s, LONGEST_S))
