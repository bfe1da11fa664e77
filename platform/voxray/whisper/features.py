"""Log-mel spectrograms on the device that needs them, shapes as Whisper's own (openai/whisper, audio.py).

Windows may be shorter than 30 s: Whisper's encoder takes any even number of frames.
"""

from functools import lru_cache

import numpy as np
import torch
from faster_whisper.feature_extractor import FeatureExtractor

from voxray.audio import HOP_LENGTH, N_FFT, SAMPLE_RATE


@lru_cache(maxsize=8)
def mel_filters(n_mels: int, device: str) -> torch.Tensor:
    """Return Slaney mel filters, shape (n_mels, N_FFT // 2 + 1)."""
    filters = FeatureExtractor.get_mel_filters(SAMPLE_RATE, N_FFT, n_mels=n_mels)
    return torch.from_numpy(np.asarray(filters, dtype=np.float32)).to(device)


def log_mel(samples_BT: torch.Tensor, n_mels: int) -> torch.Tensor:
    """Return log-mel of float samples in [-1, 1), shape (B, T) -> (B, n_mels, T // HOP_LENGTH)."""
    window = torch.hann_window(N_FFT, device=samples_BT.device)
    stft = torch.stft(samples_BT, N_FFT, HOP_LENGTH, window=window, return_complex=True)
    power = stft[..., :-1].abs() ** 2
    mel = mel_filters(n_mels, str(samples_BT.device)) @ power
    log_spec = mel.clamp(min=1e-10).log10()
    loudest = log_spec.amax(dim=(1, 2), keepdim=True)
    floored: torch.Tensor = torch.maximum(log_spec, loudest - 8.0)
    return (floored + 4.0) / 4.0
