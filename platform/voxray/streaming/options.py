"""What a session can be told."""

from dataclasses import dataclass, field

from voxray.errors import ConfigError
from voxray.streaming.agreement import Policy
from voxray.streaming.endpoint import EndpointOptions
from voxray.streaming.guards import Guards

MAX_WINDOW_S = 30.0  # Whisper's


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The defaults are the reference set-up.

    `cut_s`: an utterance longer than this is cut as soon as a word allows it; `max_window_s`: and here where
    none did. `max_undecoded_s`: how far audio may run ahead of its decodes.
    """

    endpoint: EndpointOptions = field(default_factory=EndpointOptions)
    guards: Guards = field(default_factory=Guards)
    policy: Policy = Policy.AGREEMENT
    partials: bool = True
    language: str | None = None
    partial_every_s: float = 0.5
    final_every_s: float = 0.5  # between finals that are decoded before it is known that speech ended
    cut_s: float = 8.0
    cut_margin_s: float = 1.0  # of audio after a cut, for what follows to be heard whole
    max_window_s: float = 15.0
    max_undecoded_s: float = 30.0
    language_after_s: float = 2.0  # of speech, and a detected language is kept
    ack_every_s: float = 1.0

    def __post_init__(self) -> None:
        """ConfigError naming the options that contradict one another."""
        if not self.cut_margin_s < self.cut_s < self.max_window_s <= MAX_WINDOW_S:
            raise ConfigError(
                f"cut_margin_s, cut_s, max_window_s: expected each below the next and at most "
                f"{MAX_WINDOW_S:g}, and {self.cut_margin_s:g}, {self.cut_s:g} and {self.max_window_s:g} came."
            )
        if self.max_undecoded_s < self.max_window_s:
            raise ConfigError(
                f"max_undecoded_s: expected at least max_window_s ({self.max_window_s:g}), or a full window "
                f"would never come; {self.max_undecoded_s:g} came."
            )
