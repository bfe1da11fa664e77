"""What the client is told of utterances, in order: start, partials, end, final; then the next segment."""

from dataclasses import dataclass, field

from voxray.streaming.agreement import Agreement, Fit
from voxray.streaming.events import (
    Ack,
    Done,
    Event,
    Final,
    Finalized,
    HypothesisWord,
    Partial,
    SpeechEnd,
    SpeechStart,
    seconds,
)
from voxray.streaming.utterance import Utterance
from voxray.transcript import Word


@dataclass(slots=True)
class EventEmitter:
    """The events of a session, and how many segments it has had."""

    segments: int
    partials: bool = True
    ack_every_s: float = 1.0
    events: list[Event] = field(default_factory=list)
    acknowledged_s: float | None = None

    def take(self) -> list[Event]:
        """The events since the last call."""
        events, self.events = self.events, []
        return events

    def flow(self, ack: Ack, now_s: float) -> None:
        """How far the session is, every `ack_every_s`."""
        if self.acknowledged_s is None or now_s - self.acknowledged_s >= self.ack_every_s:
            self.acknowledged_s = now_s
            self.events.append(ack)

    def finalized(self) -> None:
        """That one `finalize` is done."""
        self.events.append(Finalized())

    def done(self, end: int) -> None:
        """That all is done, after audio up to sample `end`."""
        self.events.append(Done(seconds(end), self.segments))

    def start(self, u: Utterance) -> None:
        """That a segment began, once."""
        if u.segment is None:
            u.segment, self.segments = self.segments, self.segments + 1
            self.events.append(SpeechStart(u.segment, seconds(u.onset)))

    def partial(self, u: Utterance, end: int) -> None:
        """What is heard up to sample `end`, where it differs from what was told before."""
        text = u.agreement.stable, u.agreement.unstable(u.best)
        if not self.partials or text == u.shown:
            return
        u.shown, u.agreement.sent = text, len(u.agreement.committed)
        self.events.append(Partial(_segment(u), seconds(u.onset), seconds(end), *text))

    def end(self, u: Utterance, at: int) -> None:
        """That the segment's speech ended at sample `at`, once."""
        if not u.end_told:
            u.end_told = True
            self.events.append(SpeechEnd(_segment(u), seconds(max(at, u.onset))))

    def final(self, u: Utterance, count: int, speech_end: int, end: int) -> None:
        """The first `count` words of a window that ends at sample `end`."""
        words = u.best[:count]
        surfaces = final_surfaces(u.agreement, words)
        self.events.append(
            Final(
                segment=_segment(u),
                start_s=seconds(u.onset),
                end_s=seconds(max(speech_end, u.onset)),
                text="".join(surfaces).lstrip(),
                language=u.language,
                words=timed(surfaces, words, seconds(u.start), seconds(end)),
            )
        )


def final_surfaces(agreement: Agreement, words: tuple[HypothesisWord, ...]) -> list[str]:
    """The words of a final: all committed ones, and what follows them in `words`, if it begins with them."""
    return agreement.surfaces(() if agreement.fit(words) is Fit.MISFIT else words)


def timed(
    surfaces: list[str], words: tuple[HypothesisWord, ...], start_s: float, end_s: float
) -> tuple[Word, ...]:
    """`surfaces` with the times of `words`, now on the session's clock; () where one has none."""
    if len(surfaces) != len(words):
        return ()
    found, at_s = list[Word](), start_s
    for text, word in zip(surfaces, words, strict=True):
        if word.start_s is None or word.end_s is None:
            return ()
        first_s = min(max(start_s + word.start_s, at_s), end_s)
        at_s = min(max(start_s + word.end_s, first_s), end_s)
        found.append(Word(text.strip(), round(first_s, 3), round(at_s, 3), word.probability))
    return tuple(found)


def _segment(u: Utterance) -> int:
    assert u.segment is not None  # it was told of before
    return u.segment
