"""The values that go into and out of a session: events, decode requests, hypotheses.

Positions are samples of 16 kHz mono audio, counted from the session's start. Names that end in `_s` are in
seconds, and count from the session's start unless stated otherwise. `voxray.wire` sends the events to
clients as they are, but for `SessionProgress`. A session leaves `channel` None; the gateway sets it, from 1,
where each channel of a connection has a session.
"""

from dataclasses import dataclass
from enum import Enum

from voxray.audio.constants import SAMPLE_RATE
from voxray.transcript import Word

FRAME = 512  # samples that share one speech probability, 32 ms


def seconds(samples: int) -> float:
    """Convert a position or a length in samples to seconds."""
    return samples / SAMPLE_RATE


def samples(seconds: float) -> int:
    """Convert a time or a duration to samples."""
    return round(seconds * SAMPLE_RATE)


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """Speech begins at `at_s`: a new segment. It follows the final of the segment before it."""

    segment: int
    at_s: float
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Partial:
    """A segment so far: the text to show is `stable + unstable`.

    `stable` never changes, it only grows; `unstable` keeps the space or comma with which it begins.
    """

    segment: int
    start_s: float
    end_s: float
    stable: str
    unstable: str
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class SpeechEnd:
    """The segment's speech ended at `at_s`; its final follows."""

    segment: int
    at_s: float
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Final:
    """A whole segment; `text` begins with the segment's last `stable`, byte for byte.

    `words` is empty where the engine gave no times, and None where the client did not ask for them. `text`
    is empty where no speech was recognised.
    """

    segment: int
    start_s: float
    end_s: float
    text: str
    language: str | None = None
    words: tuple[Word, ...] | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Finalized:
    """Answers one `finalize`: all audio before it has its finals."""

    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """Answers `stop`, after the last final: the session had `audio_s` of audio, in `segments` segments."""

    audio_s: float
    segments: int


@dataclass(frozen=True, slots=True)
class SessionProgress:
    """How far the session is, in samples; for the client it becomes a `wire.Ack`, in bytes.

    `keep_from`: audio before it is never needed again. `processed_s`: audio before it has been decoded, or
    has no speech; `lag_s` of audio after it were received.
    """

    keep_from: int
    processed_s: float
    lag_s: float


Event = SpeechStart | Partial | SpeechEnd | Final | Finalized | Done | SessionProgress


class DecodeMode(Enum):
    """How a window is decoded."""

    PARTIAL = "partial"  # greedy; scores may be left out
    FINAL = "final"  # greedy, with all that the guards look at, and word times
    FALLBACK = "fallback"  # as FINAL, with rising temperatures; the best of them


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """One window to decode, samples `start` to `end` (exclusive).

    `prefix` is the text that is forced at the window's start, as the engine wrote it, its leading space
    included. `asked_s` and `deadline_s` are on the caller's clock. Answer each request once, with
    `Session.receive_hypothesis`, or with `receive_failure` if it was not decoded.
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
    """The transcription of one window: all of its words, those of the forced prefix included.

    `avg_logprob` is the mean log-probability per token, `no_speech_prob` the probability of `<|nospeech|>`.
    A score that was not computed is None. `truncated`: the text goes on, and its last word may be half of
    one.
    """

    words: tuple[HypothesisWord, ...]
    language: str | None = None
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    truncated: bool = False

    @property
    def text(self) -> str:
        """The words on one line."""
        return "".join(w.text for w in self.words).strip()
