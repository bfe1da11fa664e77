"""PCM formats, and their conversion to 16 kHz mono int16.

A frame is one sample of all channels. The output depends on the frames alone, not on how they are cut:
channels are added in order, and soxr's stream works on blocks of its own.
"""

from dataclasses import dataclass
from functools import reduce
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from voxray.audio import SAMPLE_RATE, Pcm, to_pcm
from voxray.audio.riff import WaveFormat
from voxray.errors import AudioError
from voxray.wire import MAX_CHANNELS, MAX_RATE, MIN_RATE, WIDTHS, Encoding

Mono = npt.NDArray[np.float32]  # in [-1, 1]

# Samples at the lower rate that the start of soxr's HQ filter changes by over half a step; 77 were measured.
_EDGE = 100
NO_SAMPLES: Pcm = np.empty(0, dtype=np.int16)


@dataclass(frozen=True, slots=True)
class Format:
    """Encoding, channels and rate (frames per second). Frames and samples count from the same moment."""

    encoding: Encoding
    channels: int
    rate: int

    @classmethod
    def of(cls, wave: WaveFormat) -> "Format":
        """Return the format in a RIFF header; AudioError where it is not PCM as `start` could name it."""
        if wave.encoding is None:
            raise AudioError(
                f"WAV header: expected 16-bit PCM or 32-bit float, got format {wave.tag} of {wave.bits} bits "
                f"in frames of {wave.frame_bytes} bytes; convert it, or send it as a container."
            )
        if not (1 <= wave.channels <= MAX_CHANNELS and MIN_RATE <= wave.rate <= MAX_RATE):
            raise AudioError(
                f"WAV header: expected 1 to {MAX_CHANNELS} channels at {MIN_RATE} to {MAX_RATE} Hz, got "
                f"{wave.channels} at {wave.rate} Hz."
            )
        return cls(wave.encoding, wave.channels, wave.rate)

    @property
    def frame_bytes(self) -> int:
        """The bytes of one sample of all channels."""
        return WIDTHS[self.encoding] * self.channels

    def sample_of(self, frame: int) -> int:
        """Return the 16 kHz sample during which `frame` begins."""
        return frame * SAMPLE_RATE // self.rate

    def frames_within(self, samples: int) -> int:
        """Return how many frames give at most `samples` 16 kHz samples."""
        return samples * self.rate // SAMPLE_RATE

    def frame_before(self, sample: int) -> int:
        """Return the frame from which a new `Converter` gives 16 kHz `sample` as the old one did.

        It begins with a sample exactly, and as far before `sample` as the resampler's filter reaches.
        """
        shared = gcd(self.rate, SAMPLE_RATE)
        margin = 0 if self.rate == SAMPLE_RATE else _EDGE * SAMPLE_RATE // min(self.rate, SAMPLE_RATE)
        return max(0, sample - margin) // (SAMPLE_RATE // shared) * (self.rate // shared)

    def mono(self, data: bytes) -> Mono:
        """Return the mean of the channels of whole frames; floats that are not finite become 0."""
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
    """Converts frames of one format to 16 kHz mono int16."""

    def __init__(self, format_: Format) -> None:
        self.format = format_
        self._unchanged = format_ == Format("pcm_s16le", 1, SAMPLE_RATE)
        self._resampler: Any = None
        if format_.rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(format_.rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def convert(self, data: bytes) -> Pcm:
        """Return the samples that are ready after whole frames; a view of `data` if nothing changes."""
        if self._unchanged:
            return np.frombuffer(data, "<i2")
        mono = self.format.mono(data)
        return to_pcm(self._resampler.resample_chunk(mono) if self._resampler and len(mono) else mono)

    def finish(self) -> Pcm:
        """Return the samples that the resampler still holds; no frames may follow."""
        if not self._resampler:
            return NO_SAMPLES
        return to_pcm(self._resampler.resample_chunk(np.empty(0, dtype=np.float32), last=True))
