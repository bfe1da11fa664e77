"""A deterministic engine, and a whole session played through it: for tests, demos and load tests."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from voxray.audio.constants import SAMPLE_RATE
from voxray.streaming.audio_buffer import Pcm
from voxray.streaming.events import (
    FRAME,
    DecodeRequest,
    Event,
    Final,
    Hypothesis,
    HypothesisWord,
    seconds,
)
from voxray.streaming.session import Session, State

SPEECH, SILENCE = 0.9, 0.05  # probabilities


@dataclass(frozen=True, slots=True)
class ScriptedWord:
    """A word spoken from sample `start` to sample `end`."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Script:
    """What is said in `length` samples of audio."""

    words: tuple[ScriptedWord, ...]
    length: int

    @classmethod
    def of(cls, text: str, *, word_s: float = 0.25, gap_s: float = 0.05, pause_s: float = 1.0) -> "Script":
        """The words of `text` one after another; each line is an utterance, with `pause_s` around it."""
        words, at_s = list[ScriptedWord](), pause_s
        for line in text.splitlines():
            for word in line.split():
                words.append(
                    ScriptedWord(word, round(at_s * SAMPLE_RATE), round((at_s + word_s) * SAMPLE_RATE))
                )
                at_s += word_s + gap_s
            at_s += pause_s - gap_s
        return cls(tuple(words), round(at_s * SAMPLE_RATE))

    @property
    def text(self) -> str:
        """All that is said."""
        return " ".join(w.text for w in self.words)

    def pcm(self) -> Pcm:
        """Audio of the right length; the engine knows what is in it."""
        return np.zeros(self.length, dtype=np.int16)

    def speech(self) -> list[float]:
        """One probability per complete frame: somebody speaks in every frame that a word touches."""
        probabilities = [SILENCE] * (self.length // FRAME)
        for word in self.words:
            for frame in range(word.start // FRAME, min(-(-word.end // FRAME), len(probabilities))):
                probabilities[frame] = SPEECH
        return probabilities


class ScriptedEngine:
    """Hears the words of a script that lie wholly in the window; so each hypothesis extends the last."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def __call__(self, request: DecodeRequest) -> Hypothesis:
        """The words in the window of `request`, with times."""
        heard = [w for w in self.script.words if request.start <= w.start and w.end <= request.end]
        return Hypothesis(
            tuple(
                HypothesisWord(
                    " " + w.text, seconds(w.start - request.start), seconds(w.end - request.start), 1.0
                )
                for w in heard
            ),
            avg_logprob=-0.1,
            no_speech_prob=0.0,
            compression_ratio=1.0,
        )


Engine = Callable[[DecodeRequest], Hypothesis | None]
"""What answers a request; None: it failed."""


@dataclass
class Rehearsal:
    """A session fed in real time by an engine that takes `latencies_s`, one after another, over its answers.

    As a scheduler would, it runs one request at a time and lets a newer one replace the one that waits.
    """

    session: Session
    engine: Engine
    latencies_s: Sequence[float] = (0.05,)
    now_s: float = 0.0
    events: list[Event] = field(default_factory=list)
    requests: list[DecodeRequest] = field(default_factory=list)
    _running: tuple[float, DecodeRequest] | None = None
    _waiting: DecodeRequest | None = None
    _latency: Iterator[float] = field(init=False)

    def __post_init__(self) -> None:
        """The first latency is next."""
        self._latency = cycle(self.latencies_s)

    def play(self, script: Script, chunks: Iterable[int] = (1600,)) -> "Rehearsal":
        """All of `script` in chunks of these sizes, again and again; stops and waits for the end."""
        pcm, speech = script.pcm(), script.speech()
        sizes, at = cycle(chunks), 0
        while at < len(pcm):
            size = min(next(sizes), len(pcm) - at)
            self.feed(pcm[at : at + size], speech[at // FRAME : (at + size) // FRAME])
            at += size
        self.session.stop(self.now_s)
        return self.settle()

    def feed(self, pcm: Pcm, speech: Sequence[float]) -> None:
        """A chunk, once there is room for it, at the time at which its last sample was spoken."""
        self.advance(len(pcm) / SAMPLE_RATE)
        while self.session.room < len(pcm):
            self.advance(0.1)
        self.session.receive_audio(pcm, speech, self.now_s)
        self._collect()

    def advance(self, by_s: float) -> None:
        """Time goes by, and what was decoded meanwhile comes back."""
        until_s = self.now_s + by_s
        while self._running and self._running[0] <= until_s:
            self._answer()
        self.now_s = until_s

    def settle(self) -> "Rehearsal":
        """Wait until nothing is running."""
        self._collect()
        while self._running:
            self._answer()
        return self

    @property
    def finals(self) -> list[Final]:
        """The finals so far."""
        return [e for e in self.events if isinstance(e, Final)]

    @property
    def text(self) -> str:
        """The finals' text on one line."""
        return " ".join(f.text for f in self.finals if f.text)

    @property
    def done(self) -> bool:
        """Whether the session has ended."""
        return self.session.state is State.DONE

    def _answer(self) -> None:
        assert self._running
        self.now_s, request = self._running
        self._running = None
        hypothesis = self.engine(request)
        if self._waiting:
            waiting, self._waiting = self._waiting, None
            self._run(waiting)
        if hypothesis is None:
            self.session.receive_failure(request.id, self.now_s)
        else:
            self.session.receive_hypothesis(request.id, hypothesis, self.now_s)
        self._collect()

    def _collect(self) -> None:
        self.events += self.session.events_to_send()
        for request in self.session.requests_to_run():
            assert len(self.session.audio(request)) == request.end - request.start
            self.requests.append(request)
            if self._running is None:
                self._run(request)
                continue
            old, self._waiting = self._waiting, request
            if old:
                self.session.receive_superseded(old.id, self.now_s)
        self.events += self.session.events_to_send()

    def _run(self, request: DecodeRequest) -> None:
        self._running = self.now_s + next(self._latency), request
