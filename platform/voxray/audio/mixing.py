"""Frames of any rate and channel count become 16 kHz mono.

FFmpeg mixes where it knows the channels' places; stereo, and counts that it has no layout for, are mixed
here. The mean of channels of opposite polarity is silence: then the channel with the most energy is used.
"""

from collections.abc import Iterator

import av
import av.error
import numpy as np
import numpy.typing as npt

from voxray.audio.constants import SAMPLE_RATE
from voxray.audio.pcm import Pcm

CANCELLED = 0.05  # of the loudest channel's energy (-13 dB); a stereo file with one silent channel has 0.25
MEMORY_S = 1.0  # after which energy counts half

Samples = npt.NDArray[np.float32]
"""In [-1, 1), shape (channels, samples)."""


class ChannelMixer:
    """Mixes the channels of one stream; it keeps their energies, so that it does not waver between blocks."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._energies: npt.NDArray[np.float32] | None = None  # of the mean, then of each channel

    def mix(self, samples: Samples) -> Samples:
        """Return the mean of the channels or, if they cancel, the loudest; shape (1, samples)."""
        mixed = np.concatenate([samples.mean(axis=0, keepdims=True), samples])
        energies = np.square(mixed).sum(axis=1)
        if self._energies is not None:
            energies += self._energies * 0.5 ** (samples.shape[1] / self._rate / MEMORY_S)
        self._energies = energies
        loudest = int(np.argmax(energies[1:])) + 1
        chosen = loudest if energies[0] < CANCELLED * energies[loudest] else 0
        return np.ascontiguousarray(mixed[chosen : chosen + 1])


class MonoResampler:
    """Converts frames of the format of `first` to 16 kHz mono int16; `flush` it before the next format."""

    def __init__(self, first: av.AudioFrame) -> None:
        self._format = _format(first)
        self._resampler = _new_resampler()
        self._mixer = None if _mixed_by_ffmpeg(first) else ChannelMixer(first.sample_rate)

    def fits(self, frame: av.AudioFrame) -> bool:
        """Return whether `frame` has the format that this resampler was made for."""
        return _format(frame) == self._format

    def resample(self, frame: av.AudioFrame) -> Iterator[Pcm]:
        """Yield the samples that are ready after `frame`."""
        return self._push(_with_samples(frame, self._mixer.mix(_samples(frame))) if self._mixer else frame)

    def flush(self) -> Iterator[Pcm]:
        """Yield the samples that the resampling filter still holds; no frame may follow."""
        return self._push(None)

    def _push(self, frame: av.AudioFrame | None) -> Iterator[Pcm]:
        for out in self._resampler.resample(frame):
            yield np.asarray(out.to_ndarray(), dtype=np.int16).reshape(-1)


def _format(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _new_resampler() -> av.AudioResampler:
    return av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)


def _mixed_by_ffmpeg(frame: av.AudioFrame) -> bool:
    """Return whether FFmpeg has a layout for these channels (for 9, for one, it has none); not for stereo."""
    if frame.layout.nb_channels <= 2:
        return frame.layout.nb_channels == 1
    try:
        _new_resampler().resample(frame)
    except av.error.ArgumentError:
        return False
    return True


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
