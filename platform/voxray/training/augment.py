"""Augmentation: of samples in the data stage, of log-mel on the device (SpecAugment, arXiv 1904.08779)."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import soxr
import torch

from voxray.audio import SAMPLE_RATE
from voxray.config import Config, Probability, Range
from voxray.corpora.store import Clip

Floats = npt.NDArray[np.float32]


class AugmentOptions(Config):
    """How many windows are augmented, and how strongly. The defaults change nothing."""

    noise: Probability = 0.0
    """How many windows get coloured noise."""
    noise_snr_db: Range = (5.0, 40.0)
    """Bounds of the signal-to-noise ratio in those, in dB."""
    room: Probability = 0.0
    """How many windows get the reverberation of a room."""
    telephone: Probability = 0.0
    """How many windows are limited to the band of a telephone, up to 4 kHz."""
    gain_db: float = 0.0
    """Largest change of level, up or down, in dB."""


def speed_perturb(clip: Clip, factor: float) -> Clip:
    """Return `clip` played `factor` times as fast, by resampling: pitch and times change with it."""
    samples = soxr.resample(clip.pcm, SAMPLE_RATE * factor, SAMPLE_RATE, quality="MQ")
    words = (replace(w, start_s=w.start_s / factor, end_s=w.end_s / factor) for w in clip.words)
    segments = (replace(s, start_s=s.start_s / factor, end_s=s.end_s / factor) for s in clip.segments)
    return replace(clip, pcm=samples.astype(np.int16), words=tuple(words), segments=tuple(segments))


def augment(samples: Floats, options: AugmentOptions, rng: np.random.Generator) -> Floats:
    """Return `samples` with a room, a telephone, noise and another level, each at random as `options` say."""
    if rng.random() < options.room:
        samples = in_room(samples, rng)
    if rng.random() < options.telephone:
        samples = through_telephone(samples)
    if rng.random() < options.noise:
        samples = in_noise(samples, float(rng.uniform(*options.noise_snr_db)), rng)
    if options.gain_db:
        samples = samples * np.float32(10 ** (rng.uniform(-options.gain_db, options.gain_db) / 20))
    return np.clip(samples, -1.0, 1.0)


def in_noise(samples: Floats, snr_db: float, rng: np.random.Generator) -> Floats:
    """Add coloured noise (white to brown) at `snr_db` below the mean level of `samples`."""
    level = float(np.sqrt(np.mean(np.square(samples)))) or 1e-3
    noise = coloured_noise(len(samples), float(rng.uniform(0.0, 2.0)), rng)
    return samples + noise * np.float32(level * 10 ** (-snr_db / 20))


def coloured_noise(count: int, exponent: float, rng: np.random.Generator) -> Floats:
    """Return noise of unit level whose power falls as 1 / f^exponent: 0 white, 1 pink, 2 brown."""
    block = SAMPLE_RATE * 4
    spectrum = np.fft.rfft(rng.standard_normal(block).astype(np.float32))
    frequency = np.maximum(np.fft.rfftfreq(block, 1 / SAMPLE_RATE), 20.0)
    shaped = np.fft.irfft(spectrum * frequency ** (-exponent / 2), block).astype(np.float32)
    shaped /= np.sqrt(np.mean(np.square(shaped)))
    start = int(rng.integers(block))
    return np.resize(np.roll(shaped, start), count)


def in_room(samples: Floats, rng: np.random.Generator) -> Floats:
    """Add reverberation, exponentially decaying noise that takes 0.1 to 0.5 s to fall by 60 dB."""
    decay_s = rng.uniform(0.1, 0.5)
    count = int(decay_s * SAMPLE_RATE)
    tail = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    tail *= rng.uniform(0.2, 0.8) / np.sqrt(np.sum(np.square(tail)))
    tail[0] = 1.0
    size = 1 << (len(samples) + count - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)
    return wet[: len(samples)].astype(np.float32)


def through_telephone(samples: Floats) -> Floats:
    """Limit `samples` to what an 8 kHz line carries: nothing above 4 kHz."""
    narrow = soxr.resample(samples, SAMPLE_RATE, 8000, quality="MQ")
    wide = soxr.resample(narrow, 8000, SAMPLE_RATE, quality="MQ")
    out = np.zeros_like(samples)
    out[: min(len(wide), len(out))] = wide[: len(out)]
    return out


def spec_augment(mel_BFT: torch.Tensor, time_masks: int, frequency_masks: int) -> torch.Tensor:
    """Return `mel_BFT` with stripes set to its mean: up to 0.4 s of time, up to a sixth of the bands each."""
    bands, frames = mel_BFT.shape[1:]
    mel_BFT = mel_BFT.clone()
    for row in mel_BFT:
        filler = row.mean()
        for _ in range(time_masks):
            width = int(torch.randint(1, 40, ()))
            start = int(torch.randint(0, max(1, frames - width), ()))
            row[:, start : start + width] = filler
        for _ in range(frequency_masks):
            width = int(torch.randint(1, bands // 6 + 1, ()))
            start = int(torch.randint(0, bands - width, ()))
            row[start : start + width] = filler
    return mel_BFT
