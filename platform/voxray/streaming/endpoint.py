"""Finds where utterances begin and end, from one speech probability per frame (512 samples) alone.

    SILENT  -- probability >= threshold -->  SPEAKING            Onset
    SPEAKING  -- probability < release -->   PAUSED
    PAUSED  -- probability >= threshold -->  SPEAKING            Resumed
    PAUSED  -- for quiet_ms -->              PAUSED              Quiet
    PAUSED  -- for endpoint_ms -->           SILENT              Ended; for min_endpoint_ms, if the words
                                                                 before the pause are complete
    any  -- flush -->                        SILENT              Ended, if an utterance was open

An utterance's audio begins `pre_roll_ms` before its first speech and ends `quiet_ms` after its last; no
sample belongs to two utterances.
"""

from dataclasses import dataclass
from enum import Enum

from voxray.errors import ConfigError
from voxray.streaming.events import FRAME, samples

MIN_ENDPOINT_MS, MAX_ENDPOINT_MS = 300, 5000


class SpeechState(Enum):
    """See the module's docstring."""

    SILENT = "silent"
    SPEAKING = "speaking"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Onset:
    """Speech begins at `onset`; the utterance's audio begins at `start`."""

    start: int
    onset: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """The speech before `at` may have been the last; the utterance's audio would end at `end`."""

    at: int
    end: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """Speech continues in the same utterance."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The speech before `at` was the last; the utterance's audio ends at `end`."""

    at: int
    end: int


Mark = Onset | Quiet | Resumed | Ended


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """Bounds on probabilities, and durations in milliseconds.

    With `min_endpoint_ms` the end of an utterance depends on what is said, else on the samples alone.
    """

    threshold: float = 0.5
    release: float = 0.35
    pre_roll_ms: int = 300
    quiet_ms: int = 200
    endpoint_ms: int = 600
    min_endpoint_ms: int | None = None  # of silence after words that are complete; None: `endpoint_ms`

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that an option cannot have."""
        if not 0 < self.release <= self.threshold <= 1:
            raise ConfigError(
                f"release, threshold: expected 0 < release <= threshold <= 1, got {self.release:g} and "
                f"{self.threshold:g}."
            )
        if not MIN_ENDPOINT_MS <= self.endpoint_ms <= MAX_ENDPOINT_MS:
            raise ConfigError(
                f"endpoint_ms: expected {MIN_ENDPOINT_MS} to {MAX_ENDPOINT_MS}, got {self.endpoint_ms}."
            )
        if not MIN_ENDPOINT_MS <= self.shortest_ms <= self.endpoint_ms:
            expected = f"{MIN_ENDPOINT_MS} to endpoint_ms ({self.endpoint_ms})"
            raise ConfigError(f"min_endpoint_ms: expected {expected}, got {self.min_endpoint_ms}.")
        if not 0 < self.quiet_ms <= self.shortest_ms or self.pre_roll_ms < 0:
            raise ConfigError(
                f"quiet_ms, pre_roll_ms: expected at most {self.shortest_ms} ms, the shortest end, and at "
                f"least 0, got {self.quiet_ms} and {self.pre_roll_ms}."
            )

    @property
    def shortest_ms(self) -> int:
        """The shortest silence that ends an utterance."""
        return self.endpoint_ms if self.min_endpoint_ms is None else self.min_endpoint_ms

    @property
    def depends_on_words(self) -> bool:
        """Whether what was said decides how much silence ends an utterance."""
        return self.shortest_ms < self.endpoint_ms


class Endpointer:
    """The bounds of the utterances in one recording, whose first frame begins at sample `start`."""

    def __init__(self, options: EndpointOptions | None = None, start: int = 0) -> None:
        options = options or EndpointOptions()
        self.options = options
        self.state = SpeechState.SILENT
        self.position = start  # the start of the next frame
        self.floor = start  # the end of the last utterance
        self._pre_roll = samples(options.pre_roll_ms / 1000)
        self._quiet = samples(options.quiet_ms / 1000)
        self._longest = self._endpoint = samples(options.endpoint_ms / 1000)
        self._shortest = samples(options.shortest_ms / 1000)
        self._paused_at = start
        self._quiet_sent = False

    @property
    def keep_from(self) -> int:
        """The first sample of an utterance whose speech began with the next frame."""
        return max(self.floor, self.position - self._pre_roll)

    @property
    def until_end(self) -> int:
        """How many more samples of silence may end the open utterance, if its words are complete."""
        silent = self.position - self._paused_at if self.state is SpeechState.PAUSED else 0
        return max(0, self._shortest - silent)

    def feed(self, probability: float) -> Mark | None:
        """Receive the next frame's probability of speech; return the mark that it sets, if any."""
        start = max(self.position, self.floor)
        self.position += FRAME
        if self.position <= self.floor:
            return None
        if self.state is SpeechState.SILENT:
            return self._begin(start) if probability >= self.options.threshold else None
        if self.state is SpeechState.SPEAKING:
            if probability < self.options.release:
                self.state, self._paused_at, self._quiet_sent = SpeechState.PAUSED, start, False
            return None
        if probability >= self.options.threshold:
            self.state, self._endpoint = SpeechState.SPEAKING, self._longest
            return Resumed()
        return self._pause()

    def end_sooner(self) -> None:
        """Let `min_endpoint_ms` of this pause end the utterance: the words before it are complete."""
        if self.state is SpeechState.PAUSED:
            self._endpoint = self._shortest

    def flush(self, position: int) -> Ended | None:
        """End the open utterance, if there is one, at `position`, the end of all audio."""
        if self.state is SpeechState.SILENT:
            return None
        if self.state is SpeechState.PAUSED and self._quiet_sent:
            return self._end(self._paused_at, self._paused_at + self._quiet)
        return self._end(self._paused_at if self.state is SpeechState.PAUSED else position, position)

    def _begin(self, onset: int) -> Onset:
        self.state = SpeechState.SPEAKING
        return Onset(max(onset - self._pre_roll, self.floor), onset)

    def _pause(self) -> Mark | None:
        silent = self.position - self._paused_at
        if silent >= self._endpoint:
            return self._end(self._paused_at, self._paused_at + self._quiet)
        if silent >= self._quiet and not self._quiet_sent:
            self._quiet_sent = True
            return Quiet(self._paused_at, self._paused_at + self._quiet)
        return None

    def _end(self, at: int, end: int) -> Ended:
        self.state, self.floor, self._endpoint = SpeechState.SILENT, end, self._longest
        return Ended(at, end)
