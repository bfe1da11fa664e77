"""What passes between the corpus and the engines: how to speak, and what was spoken."""

from dataclasses import dataclass
from random import Random
from typing import Protocol

import numpy as np
import numpy.typing as npt
from tests.small_model.synthesis.voices import Voice

from voxray.audio import SAMPLE_RATE, Pcm, resample, to_pcm
from voxray.transcript import Word

_GAPPED = 0.2  # share of utterances with pauses between words


@dataclass(frozen=True, slots=True)
class Manner:
    """How fast, high and lively to speak, each relative to the voice's own: 1.0 changes nothing.

    `gap_s` is a pause after every word, in seconds, as people read out lists; only espeak-ng makes it.
    """

    speed: float = 1.0
    pitch: float = 1.0
    liveliness: float = 1.0
    gap_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Spoken:
    """16 kHz samples, and one word per token of the text, or none where the times are not known."""

    pcm: Pcm
    words: tuple[Word, ...] = ()


class Engine(Protocol):
    """A speech synthesiser. `speak` raises VoxrayError where the voice or the engine is not there."""

    def speak(self, text: str, voice: Voice, manner: Manner) -> Spoken:
        """`text` as speech, silence at the ends untouched."""
        ...

    def close(self) -> None:
        """End what the engine has running; it cannot speak after that."""
        ...


def draw_manner(rng: Random) -> Manner:
    """A speed, pitch and liveliness about the voice's own, all of them well intelligible."""
    return Manner(
        speed=rng.triangular(0.75, 1.38, 1.0),
        pitch=rng.triangular(0.75, 1.35, 1.0),
        liveliness=rng.triangular(0.4, 1.7, 1.0),
        gap_s=rng.uniform(0.02, 0.3) if rng.random() < _GAPPED else 0.0,
    )


def at_16k(samples: npt.NDArray[np.int16], rate_in: float) -> Pcm:
    """`samples` at `rate_in` as 16 kHz."""
    if rate_in == SAMPLE_RATE:
        return samples
    return to_pcm(resample(samples.astype(np.float32) / 32768.0, rate_in))
