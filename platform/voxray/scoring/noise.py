"""Clips in noise: white, babble mixed from the corpus itself, and music, at a chosen signal-to-noise ratio.

All is a function of the clips and a seed. A clip has the same noise at every ratio, so that a curve shows the
ratio alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from voxray.audio import Pcm, to_float
from voxray.corpora.store import Clip

SNRS_DB = tuple(range(40, -11, -5))
VOICES = 6  # that babble at once, or fewer where the corpus has fewer clips
FULL_SCALE = 32767.0

Floats = npt.NDArray[np.float64]


def noises(
    clips: Sequence[Clip], voices: Sequence[Clip], music: Pcm | None = None, *, seed: int = 0
) -> Mapping[str, list[Floats]]:
    """Return noise of unit level for each of `clips`, by kind: `white`, `babble` and, where given, `music`.

    The babble of a clip is of other clips among `voices`; without any, that kind is left out.
    """
    rngs = [np.random.default_rng([seed, i]) for i in range(len(clips))]
    pairs = list(zip(clips, rngs, strict=True))
    found = {"white": [unit_level(rng.standard_normal(len(clip.pcm))) for clip, rng in pairs]}
    if len({voice.id for voice in voices}) > 1:
        found["babble"] = [_babble(clip, voices, rng) for clip, rng in pairs]
    if music is not None and music.any():
        found["music"] = [unit_level(_stretch(music, len(clip.pcm), rng)) for clip, rng in pairs]
    return found


def in_noise(clips: Sequence[Clip], noise: Sequence[Floats], snr_db: float) -> Iterator[Clip]:
    """Yield each of `clips` in its noise, at `snr_db`."""
    return (replace(c, pcm=mix(c.pcm, n, snr_db)) for c, n in zip(clips, noise, strict=True))


def mix(speech: Pcm, noise: Floats, snr_db: float) -> Pcm:
    """Add `noise`, of unit level and as long as `speech`, `snr_db` below the mean level of `speech`.

    The sum is made softer as a whole where it would be clipped. Silence gets no noise.
    """
    clean = speech.astype(np.float64)
    mixed = clean + noise * (level(clean) * 10 ** (-snr_db / 20))
    loudest = float(np.max(np.abs(mixed), initial=0.0))
    pcm: Pcm = np.rint(mixed * min(1.0, FULL_SCALE / max(loudest, 1.0))).astype(np.int16)
    return pcm


def level(samples: Floats) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def unit_level(samples: Floats) -> Floats:
    """Return `samples` at a level of 1; silence stays."""
    return samples / (level(samples) or 1.0)


def _babble(clip: Clip, voices: Sequence[Clip], rng: np.random.Generator) -> Floats:
    others = [voice.pcm for voice in voices if voice.id != clip.id]
    chosen = rng.choice(len(others), min(VOICES, len(others)), replace=False)
    return unit_level(sum((unit_level(_stretch(others[i], len(clip.pcm), rng)) for i in chosen), np.zeros(1)))


def _stretch(pcm: Pcm, count: int, rng: np.random.Generator) -> Floats:
    """Return `count` samples from a random place of `pcm` on, which is repeated as often as needed."""
    start = int(rng.integers(max(1, len(pcm))))
    return np.resize(np.roll(to_float(pcm), -start), count).astype(np.float64)
