"""How much new audio is worth another partial: more of it while decodes take long."""

from dataclasses import dataclass

FIRST_S = 0.3  # after the onset
LATEST_S = 2.0  # however great the load
SMOOTHING = 0.5  # of the newest answer's time in their mean


@dataclass(slots=True)
class Pace:
    """The time from asking for a decode to its answer, and the interval that follows from it.

    Decodes of one session then fill at most half of its time, so that a loaded engine gets fewer of them.
    """

    every_s: float = 0.5
    answer_s: float = 0.0

    def answered(self, took_s: float) -> None:
        """A decode came back after `took_s`."""
        self.answer_s += SMOOTHING * (max(0.0, took_s) - self.answer_s)

    @property
    def interval_s(self) -> float:
        """Seconds of audio between two windows."""
        return max(self.every_s, min(2 * self.answer_s, LATEST_S))
