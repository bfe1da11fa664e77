"""The options of a session."""

from dataclasses import dataclass, field

from voxray.audio.constants import WINDOW_S
from voxray.errors import ConfigError
from voxray.guards import Guards
from voxray.streaming.agreement import Policy
from voxray.streaming.endpoint import EndpointOptions


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The defaults are the reference set-up.

    An utterance longer than `cut_s` is cut as soon as a word allows it, and at `max_window_s` if none does.
    Audio may run ahead of its decodes by `max_undecoded_s`.
    """

    endpoint: EndpointOptions = field(default_factory=EndpointOptions)
    guards: Guards = field(default_factory=Guards)
    policy: Policy = Policy.AGREEMENT
    partials: bool = True
    word_times: bool = True  # of finals
    language: str | None = None
    partial_every_s: float = 0.5
    min_certain_logprob: float = -0.3  # for words that no earlier hypothesis has
    final_every_s: float = 0.5  # between decodes of finals before the endpoint is reached
    cut_s: float = 6.0
    cut_margin_s: float = 1.0  # of audio between a cut and the end of the window
    max_window_s: float = 15.0
    max_undecoded_s: float = 30.0
    language_after_s: float = 2.0  # of speech, after which a detected language is kept
    ack_every_s: float = 1.0

    def __post_init__(self) -> None:
        """Raise ConfigError for options that contradict one another."""
        if not self.cut_margin_s < self.cut_s < self.max_window_s <= WINDOW_S:
            raise ConfigError(
                f"cut_margin_s, cut_s, max_window_s: expected each below the next and at most "
                f"{WINDOW_S:g}, got {self.cut_margin_s:g}, {self.cut_s:g} and {self.max_window_s:g}."
            )
        if self.max_undecoded_s < self.max_window_s:
            raise ConfigError(
                f"max_undecoded_s: expected at least max_window_s ({self.max_window_s:g}), which a window "
                f"may need, got {self.max_undecoded_s:g}."
            )
