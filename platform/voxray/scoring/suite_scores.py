"""What a suite measured of one model, by condition, and how that is headed in tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from voxray.scoring.metrics import RateName

SuiteName = Literal["corpus", "noise", "telephone", "silence", "cut", "long", "live", "speculative"]
SuiteChoice = Literal[SuiteName, "all"]
Figures = Mapping[str, float | None]
"""Values by name; None where there is none. Error rates and shares are in per cent."""


@dataclass(frozen=True, slots=True)
class SuiteScores:
    """The figures of one model, or pair of models, by condition; a `note` says why there are none."""

    conditions: Mapping[str, Figures]
    note: str = ""


@dataclass(frozen=True, slots=True)
class FigureFormat:
    """How a figure is headed and written; `{rate}` is the name of the corpus's error rate."""

    heading: str
    digits: int = 2


FORMATS: Mapping[str, FigureFormat] = {
    "wer": FigureFormat("{rate}, %"),
    "rtfx": FigureFormat("RTFx", 1),
    "words": FigureFormat("words", 0),
    "words_per_minute": FigureFormat("words per minute"),
    "words_per_hour": FigureFormat("words per hour", 1),
    "words_per_hour_guarded": FigureFormat("per hour, after guards", 1),
    "clips": FigureFormat("clips", 0),
    "clips_with_words_after": FigureFormat("clips that go on, %", 1),
    "words_after": FigureFormat("words after the cut", 0),
    "repeated_per_1000": FigureFormat("repeats per 1,000", 1),
    "latency_p50_s": FigureFormat("latency p50, s"),
    "latency_p95_s": FigureFormat("p95, s"),
    "changed": FigureFormat("words that changed, %", 1),
    "decodes": FigureFormat("decodes", 0),
    "same_texts": FigureFormat("same text, %", 1),
    "speed_up": FigureFormat("speed-up"),
    "acceptance": FigureFormat("drafts accepted, %", 1),
}
OTHERS = FigureFormat("{name}", 1)


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One column of the table of models and suites."""

    heading: str
    suite: SuiteName
    condition: str
    figure: str


KEY_FIGURES = (
    KeyFigure("babble, 10 dB", "noise", "babble", "10 dB"),
    KeyFigure("white, 10 dB", "noise", "white", "10 dB"),
    KeyFigure("telephone", "telephone", "mu-law", "wer"),
    KeyFigure("silence, words/min", "silence", "both", "words_per_minute"),
    KeyFigure("cut, go on", "cut", "cut at random", "clips_with_words_after"),
    KeyFigure("long", "long", "cut at pauses", "wer"),
    KeyFigure("live", "live", "one client", "wer"),
    KeyFigure("live p95, s", "live", "one client", "latency_p95_s"),
)


def heading(figure: str, rate: RateName) -> str:
    """Return the heading of a figure's column."""
    return FORMATS.get(figure, OTHERS).heading.format(rate=rate, name=figure)


def written(figure: str, value: float | None) -> str:
    """Write a figure's value for a table."""
    return "-" if value is None else f"{value:.{FORMATS.get(figure, OTHERS).digits}f}"
