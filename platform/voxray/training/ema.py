"""Exponential moving average of a model's weights."""

import torch
from torch import nn


class EMA:
    """Keeps the exponential moving average of a model's weights in float32.

    Call `update` after each optimiser step. The first steps weigh more: the decay of step n is at most
    (1 + n) / (10 + n), as in TensorFlow's ExponentialMovingAverage with `num_updates`.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {k: v.detach().clone().float() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the current weights of `model`."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, value in model.state_dict().items():
            self.weights[key].lerp_(value.float(), 1 - decay)

    def restore(self, steps: int, weights: dict[str, torch.Tensor]) -> None:
        """Continue from the `steps` and `weights` of another average, whatever device those are on."""
        self.steps = steps
        for key, value in weights.items():
            self.weights[key].copy_(value)
