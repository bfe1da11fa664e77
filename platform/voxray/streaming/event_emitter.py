"""Makes the events of utterances, in order: start, partials, end, final; then those of the next segment."""

from dataclasses import dataclass, field

from voxray.streaming.agreement import Agreement, Fit
from voxray.streaming.events import (
    Done,
    Event,
    Final,
    Finalized,
    HypothesisWord,
    Partial,
    SessionProgress,
    SpeechEnd,
    SpeechStart,
    seconds,
)
from voxray.streaming.utterance import Utterance
from voxray.transcript import Word


@dataclass(slots=True)
class EventEmitter:
    """Collects the events of a session; `segments` numbers the next one."""

    segments: int
    partials: bool = True
    ack_every_s: float = 1.0
    events: list[Event] = field(default_factory=list)
    progress_s: float | None = None  # when progress was last sent

    def events_to_send(self) -> list[Event]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events

    def progress(self, progress: SessionProgress, now_s: float) -> None:
        """Send `progress`, once every `ack_every_s`."""
        if self.progress_s is None or now_s - self.progress_s >= self.ack_every_s:
            self.progress_s = now_s
            self.events.append(progress)

    def finalized(self) -> None:
        """Answer one `finalize`."""
        self.events.append(Finalized())

    def done(self, end: int) -> None:
        """Answer `stop`, after audio up to sample `end`."""
        self.events.append(Done(seconds(end), self.segments))

    def start(self, u: Utterance) -> None:
        """Send the start of a segment, once, and number it."""
        if u.segment is None:
            u.segment, self.segments = self.segments, self.segments + 1
            self.events.append(SpeechStart(u.segment, seconds(u.onset)))

    def partial(self, u: Utterance, end: int) -> None:
        """Send the text of the audio up to sample `end`, if it has changed."""
        text = u.agreement.stable, u.agreement.unstable(u.best)
        if not self.partials or text == u.shown:
            return
        u.shown, u.agreement.sent = text, len(u.agreement.committed)
        self.events.append(Partial(_segment(u), seconds(u.onset), seconds(end), *text))

    def end(self, u: Utterance, at: int) -> None:
        """Send the end of the segment's speech, sample `at`, once."""
        if not u.end_sent:
            u.end_sent = True
            self.events.append(SpeechEnd(_segment(u), seconds(max(at, u.onset))))

    def final(self, u: Utterance, count: int, speech_end: int, end: int) -> None:
        """Send the first `count` words of a window that ends at sample `end`."""
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
    """Return all committed words, and those that follow them in `words`, if that begins with them."""
    return agreement.surfaces(() if agreement.fit(words) is Fit.MISFIT else words)


def timed(
    surfaces: list[str], words: tuple[HypothesisWord, ...], start_s: float, end_s: float
) -> tuple[Word, ...]:
    """Return `surfaces` with the times of `words`, now from the session's start; () if one has none."""
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
    assert u.segment is not None  # its start was sent before
    return u.segment
