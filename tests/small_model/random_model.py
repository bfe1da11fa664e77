"""Models of Whisper's architecture with random weights."""

from pathlib import Path
from typing import Any

import torch
from tests.small_model import SMALL_MODEL
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

TWO_LAYERS = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
}


def random_model(source: Path = SMALL_MODEL, seed: int = 0, /, **sizes: Any) -> Any:
    """Return a model of the architecture (but for `sizes`) and vocabulary in `source`, in evaluation mode."""
    torch.manual_seed(seed)
    config = WhisperConfig.from_pretrained(str(source), **sizes)
    model: Any = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig.from_pretrained(str(source))
    return model.eval()
