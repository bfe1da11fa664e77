"""What a session gives and takes: events for the client, decode requests for an engine, its hypotheses.

Positions are samples of 16 kHz mono audio counted from the session's start; names that end in `_s` are
seconds, from the session's start too where nothing else is said.
"""

from dataclasses import dataclass
from enum import Enum

from voxray.audio.constants import SAMPLE_RATE
from voxray.transcript import Word

FRAME = 512  # samples that share one speech probability, 32 ms


def seconds(samples: int) -> float:
    """A position or a length in seconds."""
    return samples / SAMPLE_RATE


def samples(seconds: float) -> int:
    """A time or a duration in samples."""
    return round(seconds * SAMPLE_RATE)


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """Somebody begins to speak at `at_s`: a new segment. It follows the final of the one before."""

    segment: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Partial:
    """What is heard so far of a segment: the text to show is `stable + unstable`.

    `stable` never changes, it only grows; `unstable` keeps the space or comma with which it begins.
    """

    segment: int
    start_s: float
    end_s: float
    stable: str
    unstable: str


@dataclass(frozen=True, slots=True)
class SpeechEnd:
    """The segment's speech ended at `at_s`; its final follows."""

    segment: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Final:
    """All that was said in a segment; `text` begins with the segment's last `stable`, byte for byte.

    `words` is empty where the engine gave no times. `text` is empty where nothing intelligible was said.
    """

    segment: int
    start_s: float
    end_s: float
    text: str
    language: str | None = None
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Finalized:
    """Answers one `finalize`: all audio before it has its finals."""


@dataclass(frozen=True, slots=True)
class Ack:
    """How far the session is, in samples: `received`, `keep_from` (what is before it is never needed
    again), `room` (how much more may be sent now); `processed_s` is what it is done with, `lag_s` the rest.
    """

    received: int
    keep_from: int
    room: int
    processed_s: float
    lag_s: float


@dataclass(frozen=True, slots=True)
class Done:
    """Answers `stop`, after the last final: `audio_s` of audio were heard, in `segments` segments."""

    audio_s: float
    segments: int


Event = SpeechStart | Partial | SpeechEnd | Final | Finalized | Ack | Done


class DecodeMode(Enum):
    """How a window is decoded."""

    PARTIAL = "partial"  # greedy; scores may be left out
    FINAL = "final"  # greedy, with all that the guards look at, and word times
    FALLBACK = "fallback"  # as FINAL, with rising temperatures; the best of them


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """One window to decode, samples `start` to `end` (exclusive).

    `prefix` is the text that is forced at the window's start, as the engine wrote it, its leading space
    included. `asked_s` and `deadline_s` are on the caller's clock. Each request is answered once; a newer one
    of the same session replaces it as long as it has not started (`receive_superseded`).
    """

    id: int
    segment: int
    start: int
    end: int
    prefix: str
    mode: DecodeMode
    word_times: bool
    language: str | None
    asked_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True)
class HypothesisWord:
    """One word of a hypothesis with the space before it and the punctuation after it, as the engine wrote it.

    Times are seconds from the window's start. In languages written without spaces a word is a character.
    How text is cut into words must depend on the text alone.
    """

    text: str
    start_s: float | None = None
    end_s: float | None = None
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What an engine heard in a window: all of its words, those of the forced prefix included.

    `avg_logprob` is the mean log-probability per token, `no_speech_prob` that of `<|nospeech|>`; None is
    what was not scored.
    """

    words: tuple[HypothesisWord, ...]
    language: str | None = None
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None

    @property
    def text(self) -> str:
        """The words on one line."""
        return "".join(w.text for w in self.words).strip()
