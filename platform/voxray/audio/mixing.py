"""Frames of any rate and channel count become 16 kHz mono: the mix of their channels, or one of them.

The mix of channels of opposite polarity is silence: then the channel with the most energy is used.
"""

from collections.abc import Iterator
from math import sqrt

import av
import numpy as np
import numpy.typing as npt

from voxray.audio.constants import CANCELLED, SAMPLE_RATE
from voxray.audio.pcm import Pcm

MEMORY_S = 1.0  # after which energy counts half
CENTRE_WEIGHTS = {"FC": 1.0, "FL": 1 / sqrt(2), "FR": 1 / sqrt(2), "LFE": 0.0, "LFE2": 0.0}
SURROUND_WEIGHT = 0.5
"""Of channels in layouts with a centre, where speech is (ITU-R BS.775, downward mixing to mono)."""

Samples = npt.NDArray[np.float32]
"""In [-1, 1), shape (channels, samples)."""


class ChannelMixer:
    """Mixes the channels of one stream; it keeps their energies, so that it does not waver between blocks.

    `weights`: of the channels in the mix, in sum 1.
    """

    def __init__(self, rate: float, weights: npt.NDArray[np.float32]) -> None:
        self._rate = rate
        self._weights = weights
        self._energies: npt.NDArray[np.float32] | None = None  # of the mix, then of each channel

    def mix(self, samples: Samples) -> Samples:
        """Return the mix of the channels or, if they cancel, the loudest; shape (1, samples)."""
        mixed = np.concatenate([self._weights[None] @ samples, samples])
        energies = np.square(mixed).sum(axis=1)
        if self._energies is not None:
            energies += self._energies * 0.5 ** (samples.shape[1] / self._rate / MEMORY_S)
        self._energies = energies
        loudest = int(np.argmax(energies[1:] * (self._weights > 0))) + 1
        chosen = loudest if energies[0] < CANCELLED * energies[loudest] else 0
        return np.ascontiguousarray(mixed[chosen : chosen + 1])


class MonoResampler:
    """Converts frames of the format of `first` to 16 kHz mono int16; `flush` it before the next format.

    `channel`: the one that is used, from 0, silent where there is no such channel; None: the mix.
    """

    def __init__(self, first: av.AudioFrame, channel: int | None = None) -> None:
        self._format = _format(first)
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        self._channel = channel
        self._mixer = ChannelMixer(first.sample_rate, mixing_weights(first.layout))

    def fits(self, frame: av.AudioFrame) -> bool:
        """Return whether `frame` has the format that this resampler was made for."""
        return _format(frame) == self._format

    def resample(self, frame: av.AudioFrame) -> Iterator[Pcm]:
        """Yield the samples that are ready after `frame`."""
        if frame.layout.nb_channels == 1 and not self._channel:
            return self._push(frame)
        return self._push(_with_samples(frame, self._mono(_samples(frame))))

    def flush(self) -> Iterator[Pcm]:
        """Yield the samples that the resampling filter still holds; no frame may follow."""
        return self._push(None)

    def _mono(self, samples: Samples) -> Samples:
        if self._channel is None:
            return self._mixer.mix(samples)
        if self._channel >= len(samples):
            return np.zeros((1, samples.shape[1]), dtype=np.float32)
        return np.ascontiguousarray(samples[self._channel : self._channel + 1])

    def _push(self, frame: av.AudioFrame | None) -> Iterator[Pcm]:
        for out in self._resampler.resample(frame):
            yield np.asarray(out.to_ndarray(), dtype=np.int16).reshape(-1)


def mixing_weights(layout: av.AudioLayout) -> npt.NDArray[np.float32]:
    """Return the weights of the channels of `layout` in the mix, in sum 1; equal where it has no centre."""
    names = [channel.name for channel in layout.channels]
    weights = np.ones(layout.nb_channels, dtype=np.float32)
    if "FC" in names and len(names) == layout.nb_channels:
        weights[:] = [CENTRE_WEIGHTS.get(name, SURROUND_WEIGHT) for name in names]
    shares: npt.NDArray[np.float32] = weights / weights.sum()
    return shares


def _format(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _samples(frame: av.AudioFrame) -> Samples:
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if np.issubdtype(samples.dtype, np.floating):
        return samples.astype(np.float32)
    half = 1 << (8 * samples.dtype.itemsize - 1)
    offset = half if samples.dtype == np.uint8 else 0
    return (samples.astype(np.float32) - np.float32(offset)) / np.float32(half)


def _with_samples(frame: av.AudioFrame, mono: Samples) -> av.AudioFrame:
    mixed = av.AudioFrame.from_ndarray(mono, format="fltp", layout="mono")
    mixed.sample_rate = frame.sample_rate
    mixed.pts, mixed.time_base = frame.pts, frame.time_base
    return mixed
