"""How much new audio a session has before it asks for another partial: more while decodes take long."""

from dataclasses import dataclass

FIRST_S = 0.3  # after the onset
LONGEST_S = 6.0  # whatever the load
ONGOING_S = 5.0  # speech that has lasted longer may not end soon
LONGEST_ONGOING_S = 2.0  # in it, where nothing but partials commits words
SMOOTHING = 0.5  # weight of the newest answer's time in their moving average
ANSWERS = 1.25  # seconds of the interval for each second that an answer takes
BACKOFF = 8.0  # and for each second of it that the decode is queued


@dataclass(slots=True)
class DecodeInterval:
    """How long answers take, and are queued for, and the interval between decodes that follows from it.

    The decodes of one session fill at most four fifths of its time, and where they wait for those of others,
    far less: then all sessions ask for fewer partials, so that finals are not kept waiting.
    """

    shortest_s: float = 0.5
    answer_s: float = 0.0
    queued_s: float = 0.0

    def receive_answer(self, took_s: float, queued_s: float = 0.0) -> None:
        """A decode was answered `took_s` after it was asked for, `queued_s` of which it waited for others."""
        self.answer_s += SMOOTHING * (max(0.0, took_s) - self.answer_s)
        self.queued_s += SMOOTHING * (max(0.0, queued_s) - self.queued_s)

    def seconds(self, *, ongoing: bool = False) -> float:
        """Return the seconds of audio from one window's end to the next one's, in `ongoing` speech or not."""
        wanted_s = ANSWERS * self.answer_s + BACKOFF * self.queued_s
        return max(self.shortest_s, min(wanted_s, LONGEST_ONGOING_S if ongoing else LONGEST_S))
