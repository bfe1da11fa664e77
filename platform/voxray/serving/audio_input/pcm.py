"""PCM as clients send it: what a frame of bytes means, and how frames become 16 kHz mono int16.

A frame is one sample of all channels. What comes out depends on the frames alone, not on how they were cut:
channels are added in order, and soxr's stream works on blocks of its own.
"""

from dataclasses import dataclass
from functools import reduce
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from voxray.audio import SAMPLE_RATE, to_pcm
from voxray.streaming.audio_buffer import Pcm
from voxray.wire import WIDTHS, Encoding

Mono = npt.NDArray[np.float32]  # in [-1, 1]

_EDGE = (
    100  # samples at the lower rate that the start of soxr's HQ filter changes by over half a step; 77 seen
)
_NOTHING: Pcm = np.empty(0, dtype=np.int16)


def nothing() -> Pcm:
    """No samples."""
    return _NOTHING


@dataclass(frozen=True, slots=True)
class Format:
    """Encoding, channels and rate (frames per second). Frames and samples count from the same moment."""

    encoding: Encoding
    channels: int
    rate: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return WIDTHS[self.encoding] * self.channels

    def sample_of(self, frame: int) -> int:
        """The 16 kHz sample during which `frame` begins."""
        return frame * SAMPLE_RATE // self.rate

    def frames_within(self, samples: int) -> int:
        """How many frames give at most `samples` 16 kHz samples."""
        return samples * self.rate // SAMPLE_RATE

    def frame_before(self, sample: int) -> int:
        """The frame from which a new `Converter` gives 16 kHz `sample` again as an old one did.

        It begins exactly with a sample, before as many as the resampler's filter reaches back.
        """
        shared = gcd(self.rate, SAMPLE_RATE)
        margin = 0 if self.rate == SAMPLE_RATE else _EDGE * SAMPLE_RATE // min(self.rate, SAMPLE_RATE)
        return max(0, sample - margin) // (SAMPLE_RATE // shared) * (self.rate // shared)

    def mono(self, data: bytes) -> Mono:
        """The mean of the channels of whole frames; floats that are no numbers become 0."""
        if self.encoding == "pcm_s16le":
            samples = np.frombuffer(data, "<i2").astype(np.float32) / 32768.0
        else:
            samples = np.frombuffer(data, "<f4").astype(np.float32)
            samples = np.clip(np.where(np.isfinite(samples), samples, np.float32(0)), -1.0, 1.0)
        mono: Mono = samples
        if self.channels > 1:
            mono = reduce(np.add, samples.reshape(-1, self.channels).T) / np.float32(self.channels)
        return mono


class Converter:
    """Frames of one format in, 16 kHz mono int16 out."""

    def __init__(self, form: Format) -> None:
        self.form = form
        self._as_it_is = form == Format("pcm_s16le", 1, SAMPLE_RATE)
        self._resampler: Any = None
        if form.rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(form.rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def convert(self, data: bytes) -> Pcm:
        """The samples that are ready after whole frames `data`; a view of `data` where nothing changes."""
        if self._as_it_is:
            return np.frombuffer(data, "<i2")
        mono = self.form.mono(data)
        return to_pcm(self._resampler.resample_chunk(mono) if self._resampler and len(mono) else mono)

    def finish(self) -> Pcm:
        """The samples that the resampler still holds; no frames may follow."""
        if not self._resampler:
            return nothing()
        return to_pcm(self._resampler.resample_chunk(np.empty(0, dtype=np.float32), last=True))
