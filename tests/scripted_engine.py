"""A script in the place of speech: its audio, a detector and a transcriber that know it, and a whole session.

Word `i` of a script is a run of samples that are all `i + 1`; silence is 0. A host's detector and transcriber
read the words from 16 kHz mono s16le, which reaches them as it was sent.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from voxray.audio import Pcm
from voxray.audio.constants import SAMPLE_RATE
from voxray.serving.protocol import Answer, Job
from voxray.streaming.events import (
    FRAME,
    DecodeRequest,
    Event,
    Final,
    Hypothesis,
    HypothesisWord,
    seconds,
)
from voxray.streaming.session import Session, SessionState

SPEECH, SILENCE = 0.9, 0.05  # probabilities


@dataclass(frozen=True, slots=True)
class ScriptedWord:
    """A word spoken from sample `start` to sample `end`."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Script:
    """The words, at most 32,767, that are spoken in `length` samples of audio."""

    words: tuple[ScriptedWord, ...]
    length: int

    @classmethod
    def of(cls, text: str, *, word_s: float = 0.25, gap_s: float = 0.05, pause_s: float = 1.0) -> "Script":
        """Return the words of `text` one after another; lines are utterances, with `pause_s` around them."""
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
        """The words on one line."""
        return " ".join(w.text for w in self.words)

    def pcm(self) -> Pcm:
        """Return the audio."""
        pcm = np.zeros(self.length, dtype=np.int16)
        for number, word in enumerate(self.words, start=1):
            pcm[word.start : word.end] = number
        return pcm

    def speech(self) -> list[float]:
        """Return one probability per complete frame; every frame that a word touches is speech."""
        probabilities = [SILENCE] * (self.length // FRAME)
        for word in self.words:
            for frame in range(word.start // FRAME, min(-(-word.end // FRAME), len(probabilities))):
                probabilities[frame] = SPEECH
        return probabilities


class ScriptedEngine:
    """Decodes to the words of a script that lie wholly in the window; so each hypothesis extends the last."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def __call__(self, request: DecodeRequest) -> Hypothesis:
        """Return the words in the window of `request`, with times where it asks for them."""
        words = [w for w in self.script.words if request.start <= w.start and w.end <= request.end]
        return Hypothesis(
            tuple(
                HypothesisWord(
                    " " + w.text, seconds(w.start - request.start), seconds(w.end - request.start), 1.0
                )
                if request.word_times
                else HypothesisWord(" " + w.text)
                for w in words
            ),
            avg_logprob=-0.1,
            no_speech_prob=0.0,
            compression_ratio=1.0,
        )


Engine = Callable[[DecodeRequest], Hypothesis | None]
"""Answers a request; None: it failed."""


@dataclass
class Rehearsal:
    """A session fed in real time, with an engine that takes `latencies_s`, one after another, to answer.

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
        """Feed all of `script` in chunks of these sizes, repeated; stop, and wait for the end."""
        pcm, speech = script.pcm(), script.speech()
        sizes, at = cycle(chunks), 0
        while at < len(pcm):
            size = min(next(sizes), len(pcm) - at)
            self.feed(pcm[at : at + size], speech[at // FRAME : (at + size) // FRAME])
            at += size
        self.session.stop(self.now_s)
        return self.settle()

    def feed(self, pcm: Pcm, speech: Sequence[float]) -> None:
        """Feed a chunk, once there is room for it, at the time at which its last sample was spoken."""
        self.advance(len(pcm) / SAMPLE_RATE)
        while self.session.room < len(pcm):
            self.advance(0.1)
        self.session.receive_audio(pcm, speech, self.now_s)
        self._collect()

    def advance(self, by_s: float) -> None:
        """Let time pass, and give the answers that are due."""
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
        return self.session.state is SessionState.DONE

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
                self.session.receive_failure(old.id, self.now_s)
        self.events += self.session.events_to_send()

    def _run(self, request: DecodeRequest) -> None:
        self._running = self.now_s + next(self._latency), request


def held(session: Session) -> int:
    """Return how many samples a session has in memory."""
    return sum(map(len, session._buffer._chunks))


class ScriptedDetector:
    """A `VoiceActivityDetector`: every frame that a word touches is speech."""

    def __init__(self) -> None:
        self._rest: Pcm = np.empty(0, dtype=np.int16)

    def probabilities(self, pcm: Pcm) -> list[float]:
        """See `VoiceActivityDetector`."""
        samples = np.concatenate([self._rest, pcm])
        count = len(samples) // FRAME
        self._rest = samples[count * FRAME :]
        frames = samples[: count * FRAME].reshape(count, FRAME)
        return [SPEECH if frame.any() else SILENCE for frame in frames]


class ScriptedTranscriber:
    """Answers jobs with the words of a script that lie wholly in their windows."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._engine = ScriptedEngine(script)

    def __call__(self, job: Job) -> Answer:
        """Return the answer to `job`."""
        pcm = np.frombuffer(job.pcm, "<i2")
        start = self._start(pcm)
        if start is None:
            silence = Hypothesis((), avg_logprob=-0.1, no_speech_prob=0.9, compression_ratio=1.0)
            return Answer(job.session, job.number, silence)
        request = DecodeRequest(
            id=job.number,
            segment=0,
            start=start,
            end=start + len(pcm),
            prefix=job.prefix,
            mode=job.mode,
            word_times=job.word_times,
            language=job.language,
            asked_s=0.0,
            deadline_s=0.0,
        )
        return Answer(job.session, job.number, self._engine(request))

    def _start(self, pcm: Pcm) -> int | None:
        """Return where the window begins in the script; None if no word begins or ends in it."""
        (loud,) = np.nonzero(pcm)
        if not len(loud):
            return None
        first = int(loud[0])
        word = self._script.words[int(pcm[first]) - 1]
        if first:
            return word.start - first
        (others,) = np.nonzero(pcm != pcm[0])
        return word.end - int(others[0]) if len(others) else None
