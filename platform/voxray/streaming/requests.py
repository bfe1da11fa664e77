"""The decodes that a session asks for: when the next is worth it, and which are not answered."""

from dataclasses import dataclass, field

from voxray.streaming.agreement import Policy
from voxray.streaming.events import DecodeMode, DecodeRequest, samples, seconds
from voxray.streaming.options import SessionOptions
from voxray.streaming.pace import FIRST_S, Pace
from voxray.streaming.utterance import Attempt, Utterance


@dataclass(slots=True)
class Requests:
    """Each request is taken once, unless a newer one replaces it before.

    `speculated`: where audio stood when a final was last asked for before its utterance had ended.
    """

    options: SessionOptions
    speculated: int
    language: str | None = field(init=False)
    pace: Pace = field(init=False)
    _count: int = 0
    _asked: dict[int, DecodeRequest] = field(default_factory=dict)
    _waiting: DecodeRequest | None = None

    def __post_init__(self) -> None:
        """What the options begin with."""
        self.language = self.options.language
        self.pace = Pace(self.options.partial_every_s)

    def partial(self, u: Utterance, heard: int, now_s: float) -> None:
        """Ask for what is heard so far, if enough of it is new."""
        interval_s = self.pace.interval_s
        due = u.onset + samples(FIRST_S) if u.asked is None else u.asked + samples(interval_s)
        if heard >= due and (self.options.partials or self._long(u, heard)):
            self._ask(u, DecodeMode.PARTIAL, heard, now_s, now_s + interval_s)
            u.asked = heard

    def speculate(self, u: Utterance, end: int, heard: int, now_s: float, deadline_s: float) -> None:
        """Ask for a final in case the utterance ends here, at most once in `final_every_s`."""
        if heard - self.speculated >= samples(self.options.final_every_s):
            self.speculated = heard
            self.final(u, DecodeMode.FINAL, end, now_s, deadline_s)

    def final(self, u: Utterance, mode: DecodeMode, end: int, now_s: float, deadline_s: float) -> None:
        """Ask for a final of the audio up to `end`."""
        u.attempt = Attempt(self._ask(u, mode, end, now_s, deadline_s), end, mode)

    def keep_language(self, u: Utterance, request: DecodeRequest, language: str | None) -> None:
        """A language that was detected on enough speech is the session's from then on."""
        u.language = self.language or language
        if seconds(request.end - u.onset) >= self.options.language_after_s:
            self.language = u.language

    def take(self) -> list[DecodeRequest]:
        """The request that is to be run, if one is."""
        waiting, self._waiting = self._waiting, None
        return [waiting] if waiting else []

    def answered(self, number: int) -> DecodeRequest | None:
        """The request that an answer belongs to; None where it was not run or is no longer wanted."""
        if self._waiting and self._waiting.id == number:
            return None
        return self._asked.pop(number, None)

    def clear(self) -> None:
        """Nothing that was asked for is wanted any more."""
        self._waiting = None
        self._asked.clear()

    def _ask(self, u: Utterance, mode: DecodeMode, end: int, now_s: float, deadline_s: float) -> int:
        """A new request in the place of one that was not taken; its number."""
        assert u.segment is not None  # it was told of before
        if self._waiting:
            del self._asked[self._waiting.id]
        times = mode is not DecodeMode.PARTIAL or self.options.policy is Policy.ATTENTION
        request = DecodeRequest(
            id=self._count,
            segment=u.segment,
            start=u.start,
            end=end,
            prefix=u.agreement.prefix,
            mode=mode,
            word_times=times or self._long(u, end),
            language=self.language,
            asked_s=now_s,
            deadline_s=deadline_s,
        )
        self._count += 1
        self._waiting = self._asked[request.id] = request
        return request.id

    def _long(self, u: Utterance, end: int) -> bool:
        return seconds(end - u.start) > self.options.cut_s
