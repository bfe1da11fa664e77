"""Decides which decodes a session asks for and when, and knows those that are not answered."""

from dataclasses import dataclass, field

from voxray.streaming.agreement import Policy
from voxray.streaming.decode_interval import FIRST_S, ONGOING_S, DecodeInterval
from voxray.streaming.events import DecodeMode, DecodeRequest, samples, seconds
from voxray.streaming.options import SessionOptions
from voxray.streaming.utterance import Attempt, Utterance


@dataclass(slots=True)
class Requests:
    """Hands out each request once, unless a newer one replaces it before.

    `speculated`: the end of the audio when a final was last asked for before its utterance had ended.
    """

    options: SessionOptions
    speculated: int
    language: str | None = field(init=False)
    interval: DecodeInterval = field(init=False)
    _count: int = 0
    _asked: dict[int, DecodeRequest] = field(default_factory=dict)
    _waiting: DecodeRequest | None = None

    def __post_init__(self) -> None:
        """Begin with the values of the options."""
        self.language = self.options.language
        self.interval = DecodeInterval(self.options.partial_every_s)

    def partial(self, u: Utterance, position: int, now_s: float) -> None:
        """Ask for a partial of the audio up to `position`, if enough of it is new."""
        ongoing = bool(u.overlap.words) or seconds(position - u.start) > ONGOING_S
        interval_s = self.interval.seconds(ongoing=ongoing)
        due = u.onset + samples(FIRST_S) if u.asked is None else u.asked + samples(interval_s)
        if position >= due and (self.options.partials or self._long(u, position)):
            self._ask(u, DecodeMode.PARTIAL, position, now_s, now_s + interval_s)
            u.asked = position

    def speculate(self, u: Utterance, end: int, position: int, now_s: float, deadline_s: float) -> None:
        """Ask for a final in case the utterance ends at `end`, at most once in `final_every_s`."""
        if position - self.speculated >= samples(self.options.final_every_s):
            self.speculated = position
            self.final(u, DecodeMode.FINAL, end, now_s, deadline_s)

    def final(self, u: Utterance, mode: DecodeMode, end: int, now_s: float, deadline_s: float) -> None:
        """Ask for a final of the audio up to `end`."""
        u.attempt = Attempt(self._ask(u, mode, end, now_s, deadline_s), end, mode)

    def keep_language(self, u: Utterance, request: DecodeRequest, language: str | None) -> None:
        """Keep `language` for the session if it was detected on enough speech."""
        u.language = self.language or language
        if seconds(request.end - u.onset) >= self.options.language_after_s:
            self.language = u.language

    def requests_to_run(self) -> list[DecodeRequest]:
        """Return the request that waits, if there is one."""
        waiting, self._waiting = self._waiting, None
        return [waiting] if waiting else []

    def receive_answer(self, number: int) -> DecodeRequest | None:
        """Return the request that was answered; None if it was not handed out or is no longer needed."""
        if self._waiting and self._waiting.id == number:
            return None
        return self._asked.pop(number, None)

    def clear(self) -> None:
        """Drop all requests; answers to them will be ignored."""
        self._waiting = None
        self._asked.clear()

    def _ask(self, u: Utterance, mode: DecodeMode, end: int, now_s: float, deadline_s: float) -> int:
        """Make a request in the place of the one that waits, and return its number."""
        assert u.segment is not None  # its start was sent before
        if self._waiting:
            del self._asked[self._waiting.id]
        final = mode is not DecodeMode.PARTIAL
        wanted = self.options.word_times or self.options.endpoint.depends_on_words
        times = (final and wanted) or self.options.policy is Policy.ATTENTION
        request = DecodeRequest(
            id=self._count,
            segment=u.segment,
            start=u.window_start,
            end=end,
            prefix=u.prefix,
            mode=mode,
            word_times=times or seconds(end - u.start) > min(ONGOING_S, self.options.cut_s),
            language=self.language,
            asked_s=now_s,
            deadline_s=deadline_s,
        )
        self._count += 1
        self._waiting = self._asked[request.id] = request
        return request.id

    def _long(self, u: Utterance, end: int) -> bool:
        return seconds(end - u.start) > self.options.cut_s
