"""A live session on a virtual clock: no server, no network, and no waiting for audio to be spoken.

Audio arrives as it is spoken. A decode takes on the virtual clock what it takes on the real one, one decode
at a time; a request that waits is replaced by a newer one, as the service does it.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from voxray.audio import SAMPLE_RATE, Pcm
from voxray.scoring.suites import Clock
from voxray.streaming.events import DecodeRequest, Event, Final, Hypothesis, Partial
from voxray.streaming.options import SessionOptions
from voxray.streaming.session import Session
from voxray.word_segmentation import bare_words
from voxray.writing_systems import join_texts

CHUNK_S = 0.1  # of audio that arrives at a time

SpeechProbabilities = Callable[[Pcm], Sequence[float]]
"""Returns the speech probabilities of the frames that are complete with more audio of one stream."""
DecodeWindow = Callable[[DecodeRequest, Pcm], Hypothesis | None]
"""Decodes the window of a request; None where that failed."""


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """An event of a session, and when it was sent, in seconds of the session's audio."""

    at_s: float
    event: Event


@dataclass
class VirtualClient:
    """Plays a recording into `session` in virtual real time."""

    session: Session
    speech: SpeechProbabilities
    decode: DecodeWindow
    clock: Clock = time.perf_counter
    now_s: float = 0.0
    decodes: int = 0
    events: list[TimedEvent] = field(default_factory=list)
    _running: tuple[float, DecodeRequest, Hypothesis | None] | None = None
    _waiting: DecodeRequest | None = None

    def play(self, pcm: Pcm) -> list[TimedEvent]:
        """Play all of `pcm`, stop, and return the events in order."""
        step = round(CHUNK_S * SAMPLE_RATE)
        for at in range(0, len(pcm), step):
            self._feed(pcm[at : at + step])
        self.session.stop(self.now_s)
        self._collect()
        while self._running:
            self._answer()
        return self.events

    def _feed(self, chunk: Pcm) -> None:
        self._advance(len(chunk) / SAMPLE_RATE)
        while self.session.room < len(chunk):
            self._advance(CHUNK_S)
        self.session.receive_audio(chunk, self.speech(chunk), self.now_s)
        self._collect()

    def _advance(self, by_s: float) -> None:
        until_s = self.now_s + by_s
        while self._running and self._running[0] <= until_s:
            self._answer()
        self.now_s = until_s

    def _answer(self) -> None:
        """Pass the answer of the running decode to the session at the time at which it is ready."""
        assert self._running
        self.now_s, request, hypothesis = self._running
        self._running = None
        if self._waiting:
            waiting, self._waiting = self._waiting, None
            self._run(waiting)
        if hypothesis is None:
            self.session.receive_failure(request.id, self.now_s)
        else:
            self.session.receive_hypothesis(request.id, hypothesis, self.now_s)
        self._collect()

    def _collect(self) -> None:
        self._keep_events()
        for request in self.session.requests_to_run():
            superseded, self._waiting = self._waiting, request
            if superseded:
                self.session.receive_failure(superseded.id, self.now_s)
            if self._running is None:
                self._waiting = None
                self._run(request)
        self._keep_events()

    def _keep_events(self) -> None:
        self.events += (TimedEvent(self.now_s, event) for event in self.session.events_to_send())

    def _run(self, request: DecodeRequest) -> None:
        if request.start < self.session.decode_from:  # its final was sent: the audio is gone
            self.session.receive_failure(request.id, self.now_s)
            return
        start_s = self.clock()
        hypothesis = self.decode(request, self.session.audio(request))
        self._running = (self.now_s + self.clock() - start_s, request, hypothesis)
        self.decodes += 1


@dataclass(frozen=True, slots=True)
class LiveScore:
    """What one or more sessions sent: their text, the latency of each committed word, words that changed.

    A word's latency is from its end in the audio, as the final times it, until it was committed. Of `shown`
    places of words in segments, `changed` had at some time another word than in the final.
    """

    texts: tuple[str, ...] = ()
    latencies_s: tuple[float, ...] = ()
    shown: int = 0
    changed: int = 0
    decodes: int = 0

    def __add__(self, other: "LiveScore") -> "LiveScore":
        return LiveScore(
            self.texts + other.texts,
            self.latencies_s + other.latencies_s,
            self.shown + other.shown,
            self.changed + other.changed,
            self.decodes + other.decodes,
        )

    @property
    def changed_share(self) -> float:
        """The share of the shown words that changed."""
        return self.changed / self.shown if self.shown else 0.0

    def latency_s(self, share: float) -> float | None:
        """Return the latency that `share` of the words do not exceed; None without words that have times."""
        ordered = sorted(self.latencies_s)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def play_live(
    pcm: Pcm,
    language: str,
    speech: SpeechProbabilities,
    decode: DecodeWindow,
    clock: Clock = time.perf_counter,
) -> LiveScore:
    """Play `pcm` into a session of its own, in a language that is given, and score what it sent."""
    client = VirtualClient(Session(SessionOptions(language=language)), speech, decode, clock)
    return replace(live_score(client.play(pcm)), decodes=client.decodes)


def live_score(events: Sequence[TimedEvent]) -> LiveScore:
    """Score the events of one session, whose finals have word times."""
    partials: dict[int, list[tuple[float, Partial]]] = defaultdict(list)
    finals = list[tuple[float, Final]]()
    for timed in events:
        if isinstance(timed.event, Partial):
            partials[timed.event.segment].append((timed.at_s, timed.event))
        elif isinstance(timed.event, Final):
            finals.append((timed.at_s, timed.event))
    text = join_texts(final.text for _, final in finals)
    latencies = [s for at_s, final in finals for s in latencies_s(final, at_s, partials[final.segment])]
    places = [changed_places(final.text, _texts(partials[final.segment])) for _, final in finals]
    return LiveScore((text,), tuple(latencies), sum(map(len, places)), sum(sum(p) for p in places))


def latencies_s(final: Final, at_s: float, partials: Iterable[tuple[float, Partial]]) -> list[float]:
    """Return how long after its end each word of `final` was committed: in a partial, else with the final."""
    stables = [(sent_s, len(partial.stable)) for sent_s, partial in partials]
    found, at = [], 0
    for word in final.words or ():
        at = final.text.index(word.text.strip(), at) + len(word.text.strip())
        committed_s = next((sent_s for sent_s, length in stables if length >= at), at_s)
        found.append(committed_s - word.end_s)
    return found


def changed_places(final: str, shown: Iterable[str]) -> list[bool]:
    """Return for each word's place in a segment whether another word than the final's was shown there.

    Case and punctuation do not count. A place after the end of the final has changed if a word was shown.
    """
    last = bare_words(final.casefold())
    wrong = dict.fromkeys(range(len(last)), False)
    for text in shown:
        for place, word in enumerate(bare_words(text.casefold())):
            wrong[place] = wrong.get(place, False) or place >= len(last) or word != last[place]
    return list(wrong.values())


def _texts(partials: Iterable[tuple[float, Partial]]) -> list[str]:
    return [partial.stable + partial.unstable for _, partial in partials]
