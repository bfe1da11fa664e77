"""PCM formats, and their conversion to 16 kHz mono int16.

A frame is one sample of all channels. The output depends on the frames alone, not on how they are cut:
channels are mixed in blocks that count from the first frame, and soxr's stream works on blocks of its own.
"""

from dataclasses import dataclass
from functools import reduce
from math import ceil, gcd, lcm
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from voxray.audio import SAMPLE_RATE, Pcm, to_pcm
from voxray.audio.constants import CANCELLED
from voxray.audio.riff import WaveFormat
from voxray.errors import AudioError
from voxray.serving.audio_input.g711 import TABLES
from voxray.wire import MAX_CHANNELS, MAX_RATE, MIN_RATE, WIDTHS, Encoding

Mono = npt.NDArray[np.float32]
"""In [-1, 1], shape (frames,)."""
Samples = npt.NDArray[np.float32]
"""In [-1, 1], shape (frames, channels)."""

# Samples at the lower rate that the start of soxr's HQ filter changes by over half a step; 77 were measured.
_EDGE = 100
MIX_S = 0.02  # of audio, or a little more, in which channels either are mixed or cancel
_MAX_MIX_S = 0.1  # of rates that have little in common with 16 kHz; theirs are always mixed
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

    @property
    def mix_frames(self) -> int:
        """How many frames are mixed together: as long as a whole number of 16 kHz samples; 1 for mono."""
        unit = self.rate // gcd(self.rate, SAMPLE_RATE)
        if self.channels == 1 or unit > _MAX_MIX_S * self.rate:
            return 1
        return unit * ceil(MIX_S * self.rate / unit)

    def frame_before(self, sample: int) -> int:
        """Return the frame from which a new `Converter` gives 16 kHz `sample` as the old one did.

        It begins with a sample exactly, and as far before `sample` as the resampler's filter reaches.
        """
        unit = lcm(self.rate // gcd(self.rate, SAMPLE_RATE), self.mix_frames)
        margin = 0 if self.rate == SAMPLE_RATE else _EDGE * SAMPLE_RATE // min(self.rate, SAMPLE_RATE)
        return max(0, sample - margin) // (unit * SAMPLE_RATE // self.rate) * unit

    def samples(self, data: bytes) -> Samples:
        """Return whole frames as floats, shape (frames, channels); those that are not finite become 0."""
        if (table := TABLES.get(self.encoding)) is not None:
            samples = table[np.frombuffer(data, np.uint8)]
        elif self.encoding == "pcm_s16le":
            samples = np.frombuffer(data, "<i2").astype(np.float32) / 32768.0
        else:
            samples = np.frombuffer(data, "<f4").astype(np.float32)
            samples = np.clip(np.where(np.isfinite(samples), samples, np.float32(0)), -1.0, 1.0)
        return samples.reshape(-1, self.channels)


def mixed(samples: Samples, block: int) -> Mono:
    """Return the mean of the channels or, in the blocks of frames where they cancel, the loudest one."""
    channels = samples.shape[1]
    if channels == 1:
        return samples[:, 0]
    mean: Mono = reduce(np.add, samples.T) / np.float32(channels)
    if block > 1:
        for at in range(0, len(samples), block):
            energies = np.square(samples[at : at + block]).sum(axis=0)
            loudest = int(energies.argmax())
            if np.square(mean[at : at + block]).sum() < CANCELLED * energies[loudest]:
                mean[at : at + block] = samples[at : at + block, loudest]
    return mean


class Converter:
    """Converts frames of one format to 16 kHz mono int16."""

    def __init__(self, format_: Format) -> None:
        self.format = format_
        self._unchanged = format_ == Format("pcm_s16le", 1, SAMPLE_RATE)
        self._held: Samples = np.empty((0, format_.channels), dtype=np.float32)  # less than is mixed together
        self._resampler: Any = None
        if format_.rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(format_.rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def convert(self, data: bytes) -> Pcm:
        """Return the samples that are ready after whole frames; a view of `data` if nothing changes."""
        if self._unchanged:
            return np.frombuffer(data, "<i2")
        samples, block = np.concatenate([self._held, self.format.samples(data)]), self.format.mix_frames
        whole = len(samples) - len(samples) % block
        self._held = samples[whole:]
        mono = mixed(samples[:whole], block)
        return to_pcm(self._resampler.resample_chunk(mono) if self._resampler and len(mono) else mono)

    def finish(self) -> Pcm:
        """Return the samples that the mixer and the resampler still hold; no frames may follow."""
        mono = mixed(self._held, self.format.mix_frames)
        return to_pcm(self._resampler.resample_chunk(mono, last=True) if self._resampler else mono)
