"""The keys of the training loop."""

from typing import ClassVar, Literal

from pydantic import Field

from voxray.config import Config, Positive
from voxray.training.augment import AugmentOptions
from voxray.training.collate import LabelOptions
from voxray.training.plan import PlanOptions
from voxray.training.schedule import Schedule


class LoopOptions(Config):
    """How a model is trained. The defaults are those of distillation."""

    renamed: ClassVar = {
        "accumulate": "gradient_accumulation_steps",
        "clip_norm": "max_grad_norm",
        "floor": "min_lr_ratio",
        "warmup_share": "warmup_ratio",
    }
    max_steps: int = Field(default=1000, ge=1)
    """Optimiser steps of the whole run."""
    max_epochs: int | None = Field(default=None, ge=1)
    """Epochs of the whole run, where they are fewer steps than max_steps."""
    learning_rate: Positive = 1e-4
    """Peak learning rate of AdamW."""
    schedule: Schedule = "linear"
    """How the rate falls after the warm-up: constant, linear, cosine or polynomial (quadratic)."""
    warmup_ratio: float = Field(default=0.05, ge=0, lt=1)
    """Fraction of all samples over which the rate rises from 0."""
    min_lr_ratio: float = Field(default=0.0, ge=0, le=1)
    """Fraction of the peak rate that is left at the end."""
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Batches per optimiser step."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decay of matrices; norms and biases have none."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the moving average of the weights, which is what is evaluated and kept; 0 keeps none."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What autocast computes in; auto is bfloat16 on a GPU and float32 on a CPU. float16 scales the loss."""
    attn_implementation: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    """Attention of transformers; auto is sdpa on a GPU and eager on a CPU."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass, to save memory."""
    ddp_timeout_s: int = Field(default=1800, ge=1)
    """Seconds that several workers wait for one of them before the run fails."""
    threads: int = Field(default=0, ge=0)
    """Threads of torch in each worker; 0 shares the cores of a node among its workers."""
    plan: PlanOptions = PlanOptions()
    labels: LabelOptions = LabelOptions()
    augment: AugmentOptions = AugmentOptions()
