"""Where utterances begin and end, from one speech probability per 512 samples and nothing else.

    SILENT  -- probability >= threshold -->  SPEAKING            Onset
    SPEAKING  -- probability < release -->   PAUSED
    PAUSED  -- probability >= threshold -->  SPEAKING            Resumed
    PAUSED  -- quiet_ms of it -->            PAUSED              Quiet
    PAUSED  -- endpoint_ms of it -->         SILENT              Ended
    any  -- flush -->                        SILENT              Ended, where something was open

An utterance's audio begins `pre_roll_ms` before its first speech and ends `quiet_ms` after its last; no
sample belongs to two utterances.
"""

from dataclasses import dataclass
from enum import Enum

from voxray.errors import ConfigError
from voxray.streaming.events import FRAME, samples

MIN_ENDPOINT_MS, MAX_ENDPOINT_MS = 300, 5000


class Voice(Enum):
    """What is going on."""

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
    """Speech goes on in the same utterance."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The speech before `at` was the last; the utterance's audio ends at `end`."""

    at: int
    end: int


Mark = Onset | Quiet | Resumed | Ended


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """Bounds on probabilities, and durations in milliseconds."""

    threshold: float = 0.5
    release: float = 0.35
    pre_roll_ms: int = 300
    quiet_ms: int = 200
    endpoint_ms: int = 600

    def __post_init__(self) -> None:
        """ConfigError naming the option that cannot be."""
        if not 0 < self.release <= self.threshold <= 1:
            raise ConfigError(
                f"release, threshold: expected 0 < release <= threshold <= 1, and {self.release:g} and "
                f"{self.threshold:g} came."
            )
        if not MIN_ENDPOINT_MS <= self.endpoint_ms <= MAX_ENDPOINT_MS:
            raise ConfigError(
                f"endpoint_ms: expected {MIN_ENDPOINT_MS} to {MAX_ENDPOINT_MS}, and {self.endpoint_ms} came."
            )
        if not 0 < self.quiet_ms <= self.endpoint_ms or self.pre_roll_ms < 0:
            raise ConfigError(
                f"quiet_ms, pre_roll_ms: expected at most endpoint_ms ({self.endpoint_ms}) and at least 0, "
                f"and {self.quiet_ms} and {self.pre_roll_ms} came."
            )


class Endpointer:
    """The bounds of the utterances in one recording, whose first frame begins at sample `start`."""

    def __init__(self, options: EndpointOptions | None = None, start: int = 0) -> None:
        options = options or EndpointOptions()
        self.options = options
        self.voice = Voice.SILENT
        self.heard = start  # every frame before this sample has been judged
        self.floor = start  # what is before it belongs to an utterance that has ended
        self._pre_roll = samples(options.pre_roll_ms / 1000)
        self._quiet = samples(options.quiet_ms / 1000)
        self._endpoint = samples(options.endpoint_ms / 1000)
        self._paused_at = start
        self._quiet_told = False

    @property
    def keep_from(self) -> int:
        """The first sample that an utterance which begins with the next frame would need."""
        return max(self.floor, self.heard - self._pre_roll)

    @property
    def until_end(self) -> int:
        """How many more samples of silence end the utterance that is open."""
        silent = self.heard - self._paused_at if self.voice is Voice.PAUSED else 0
        return max(0, self._endpoint - silent)

    def feed(self, probability: float) -> Mark | None:
        """The next frame's probability of speech; what it decides."""
        start = max(self.heard, self.floor)
        self.heard += FRAME
        if self.heard <= self.floor:
            return None
        if self.voice is Voice.SILENT:
            return self._begin(start) if probability >= self.options.threshold else None
        if self.voice is Voice.SPEAKING:
            if probability < self.options.release:
                self.voice, self._paused_at, self._quiet_told = Voice.PAUSED, start, False
            return None
        if probability >= self.options.threshold:
            self.voice = Voice.SPEAKING
            return Resumed()
        return self._pause()

    def flush(self, position: int) -> Ended | None:
        """End what is open at `position`, the end of all audio; None where nothing is."""
        if self.voice is Voice.SILENT:
            return None
        if self.voice is Voice.PAUSED and self._quiet_told:
            return self._end(self._paused_at, self._paused_at + self._quiet)
        return self._end(self._paused_at if self.voice is Voice.PAUSED else position, position)

    def _begin(self, onset: int) -> Onset:
        self.voice = Voice.SPEAKING
        return Onset(max(onset - self._pre_roll, self.floor), onset)

    def _pause(self) -> Mark | None:
        silent = self.heard - self._paused_at
        if silent >= self._endpoint:
            return self._end(self._paused_at, self._paused_at + self._quiet)
        if silent >= self._quiet and not self._quiet_told:
            self._quiet_told = True
            return Quiet(self._paused_at, self._paused_at + self._quiet)
        return None

    def _end(self, at: int, end: int) -> Ended:
        self.voice, self.floor = Voice.SILENT, end
        return Ended(at, end)
