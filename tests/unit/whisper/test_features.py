import numpy as np
import pytest
import torch
from faster_whisper.feature_extractor import FeatureExtractor
from tests.small_model import SMALL_MODEL_CLIPS
from transformers import WhisperFeatureExtractor

from voxray.audio import SAMPLE_RATE, decode, to_float
from voxray.whisper.features import log_mel, mel_filters

CLIP = sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[0]


def window(seconds: float) -> torch.Tensor:
    """A recorded clip, padded or cut to `seconds`."""
    samples = to_float(decode(CLIP))[: int(seconds * SAMPLE_RATE)]
    return torch.nn.functional.pad(torch.from_numpy(samples), (0, int(seconds * SAMPLE_RATE) - len(samples)))


@pytest.mark.parametrize("seconds", [2.0, 6.0, 30.0])
@pytest.mark.parametrize("bands", [80, 128])
def test_are_those_that_serving_computes(seconds: float, bands: int) -> None:
    ours = log_mel(window(seconds)[None], bands)[0]
    served = FeatureExtractor(feature_size=bands)(window(seconds).numpy(), padding=0)
    assert ours.shape == (bands, seconds * 100)
    torch.testing.assert_close(ours, torch.from_numpy(np.asarray(served, np.float32)), atol=1e-4, rtol=0)


def test_of_30_s_are_those_of_transformers() -> None:
    theirs = WhisperFeatureExtractor(feature_size=80)(  # type: ignore[no-untyped-call]  # transformers'
        window(30.0).numpy(), sampling_rate=SAMPLE_RATE, return_tensors="pt"
    ).input_features
    torch.testing.assert_close(log_mel(window(30.0)[None], 80), theirs, atol=1e-4, rtol=0)


def test_each_row_has_a_floor_of_its_own() -> None:
    loud, quiet = window(2.0), 0.3 * window(2.0)
    both = log_mel(torch.stack([loud, quiet]), 80)
    torch.testing.assert_close(both[1], log_mel(quiet[None], 80)[0])
    for row in both:
        assert row.max() - row.min() == pytest.approx(2.0, abs=1e-5)  # 80 dB


def test_digital_silence_is_flat_and_finite() -> None:
    silence = log_mel(torch.zeros(1, 32_000), 80)
    assert torch.equal(silence, torch.full((1, 80, 200), -1.5))


def test_filters_have_a_row_for_each_band() -> None:
    filters = mel_filters(80, "cpu")
    assert filters.shape == (80, 201)
    assert (filters.sum(1) > 0).all()
