"""Samples: their type, their length, and conversions that need no FFmpeg."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from voxray.audio.constants import SAMPLE_RATE

Pcm = npt.NDArray[np.int16]
"""Mono samples at 16 kHz, shape (samples,)."""

QUIET_S = 0.1  # a cut inside speech falls in the quietest stretch of this length


@dataclass(frozen=True, slots=True)
class Block:
    """16 kHz mono samples; `start` is the first one's place on the container's clock, in samples."""

    start: int
    pcm: Pcm = field(repr=False)

    @property
    def end(self) -> int:
        """The place after the last sample."""
        return self.start + len(self.pcm)


def to_float(pcm: Pcm) -> npt.NDArray[np.float32]:
    """Return int16 samples as float32 in [-1, 1)."""
    return pcm.astype(np.float32) / 32768.0


def to_pcm(samples: npt.NDArray[np.floating]) -> Pcm:
    """Return floats in [-1, 1) as int16, rounded and clipped; undoes `to_float` exactly."""
    pcm: Pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    return pcm


def duration_s(pcm: Pcm) -> float:
    """Return the length in seconds."""
    return len(pcm) / SAMPLE_RATE


def quietest_s(pcm: Pcm, from_s: float, to_s: float) -> float:
    """Return the middle of the quietest `QUIET_S` between two times, in seconds."""
    first, last = round(from_s * SAMPLE_RATE), round(to_s * SAMPLE_RATE)
    length = min(round(QUIET_S * SAMPLE_RATE), last - first)
    energy = np.concatenate([[0.0], np.cumsum(pcm[first:last].astype(np.float64) ** 2)])
    quietest = int(np.argmin(energy[length:] - energy[:-length]))
    return (first + quietest + length // 2) / SAMPLE_RATE


def resample(
    samples: npt.NDArray[np.float32], rate_in: float, rate_out: float = SAMPLE_RATE
) -> npt.NDArray[np.float32]:
    """Return `samples`, shape (samples,) or (samples, channels), at `rate_out`, by soxr at high quality."""
    if rate_in == rate_out:
        return samples
    import soxr

    out: npt.NDArray[np.float32] = soxr.resample(samples, rate_in, rate_out)
    return out
