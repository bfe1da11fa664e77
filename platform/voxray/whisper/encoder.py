"""The encoder over windows shorter than 30 s.

Whisper's positions are sinusoids, so the first T of them serve a window of T positions; the library's own
forward refuses anything but 30 s.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn


def encode(encoder: Any, mel_BFT: torch.Tensor) -> torch.Tensor:
    """Encode log-mel windows of any even length: (B, n_mels, T) -> (B, T // 2, d_model).

    The same computation as transformers' WhisperEncoder.forward, with the positional table cut to the window.
    """
    hidden = nn.functional.gelu(encoder.conv1(mel_BFT))
    hidden = nn.functional.gelu(encoder.conv2(hidden)).permute(0, 2, 1)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    hidden = nn.functional.dropout(hidden, p=encoder.dropout, training=encoder.training)
    for layer in encoder.layers:
        hidden = layer(hidden, None)
    states: torch.Tensor = encoder.layer_norm(hidden)
    return states


def decode_states(
    decoder: Any, inputs_BL: torch.Tensor, states_BTD: torch.Tensor, layer_drop: float = 0.0
) -> torch.Tensor:
    """Return decoder states before the vocabulary projection: (B, L), (B, T, d_model) -> (B, L, d_model).

    In training each layer but the last is left out with the chance `layer_drop` (LayerDrop, arXiv
    1909.11556).
    """
    dropping = decoder.training and layer_drop > 0.0
    with _thinned(decoder, layer_drop) if dropping else nullcontext():
        hidden: torch.Tensor = decoder(
            input_ids=inputs_BL, encoder_hidden_states=states_BTD, use_cache=False
        ).last_hidden_state
    return hidden


@contextmanager
def _thinned(decoder: Any, layer_drop: float) -> Iterator[None]:
    """Drop any layer but the last. The library drops that too, which may be a student's only one."""
    layers = decoder.layers
    *others, last = layers
    decoder.layers = nn.ModuleList([*(x for x in others if torch.rand(()) >= layer_drop), last])
    try:
        yield
    finally:
        decoder.layers = layers
