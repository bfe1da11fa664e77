"""The training loop of fine-tuning, distillation and adaptation. Plain torch, no Ray.

A run is a function of its options and data: stopped at any step and resumed from a checkpoint, it has the
same losses, bit for bit, on a CPU in float32.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.distributed as dist
from pydantic import Field
from torch import nn

from voxray.audio import WINDOW_S
from voxray.config import Config
from voxray.corpora.store import Clip
from voxray.errors import TrainingError
from voxray.training.augment import AugmentOptions
from voxray.training.collate import Batch, LabelOptions, collate, example, masked
from voxray.training.ema import EMA
from voxray.training.objective import Objective, StepSums
from voxray.training.plan import Cursor, Mixture, PlannedWindow, PlanOptions, TextRoom, plan_epoch, shard
from voxray.training.schedule import Schedule, rate
from voxray.whisper.ctranslate import WINDOWS_S
from voxray.whisper.tokens import Tokens

AHEAD = 4  # batches made while the device computes


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
    learning_rate: float = Field(default=1e-4, gt=0)
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
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What autocast computes in; auto is bfloat16 on a GPU and float32 on a CPU."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass, to save memory."""
    threads: int = Field(default=0, ge=0)
    """Threads of torch in each worker; 0 shares the cores of a node among its workers."""
    plan: PlanOptions = PlanOptions()
    labels: LabelOptions = LabelOptions()
    augment: AugmentOptions = AugmentOptions()


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is after a step; losses are means per token since the last report, in nats."""

    step: int
    epoch: int
    samples: int
    learning_rate: float
    loss: float
    ce: float
    kl: float
    ctc: float
    gradient_norm: float
    samples_per_s: float
    audio_s_per_s: float
    threads: int  # of torch, in one worker


@dataclass(slots=True)
class _Meter:
    """Sums since the last report."""

    started: float = field(default_factory=time.perf_counter)
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, **values: float) -> None:
        for key, value in values.items():
            self.sums[key] = self.sums.get(key, 0.0) + value

    def mean(self, key: str, per: str) -> float:
        return self.sums.get(key, 0.0) / max(1.0, self.sums.get(per, 0.0))


class Loop:
    """Trains `objective.student` on `clips`, with windows of at least `smallest_window_s`.

    `wrapped` is the objective, or DDP around it; a `mixture` weighs the sets that `clips` are of, and a
    `text_room` bounds the texts of those that are joined. Call `restore` before `run` to continue from a
    checkpoint.
    """

    def __init__(
        self,
        objective: Objective,
        clips: Sequence[Clip],
        durations_s: Sequence[float],
        tokens: Tokens,
        options: LoopOptions,
        *,
        smallest_window_s: float = WINDOWS_S[0],
        device: torch.device | None = None,
        wrapped: nn.Module | None = None,
        mixture: Mixture | None = None,
        text_room: TextRoom | None = None,
        vocabulary: Sequence[str] = (),
    ) -> None:
        if not len(clips):
            raise TrainingError("expected clips to train on, got none.")
        if (longest_s := max(durations_s)) > WINDOW_S:
            raise TrainingError(
                f"expected clips of at most {WINDOW_S:g} s, got one of {longest_s:.6g} s; cut it first."
            )
        self.objective, self.clips, self.durations_s = objective, clips, durations_s
        self.tokens, self.options, self.smallest_window_s = tokens, options, smallest_window_s
        self.device = device or torch.device("cpu")
        self.wrapped = wrapped or objective
        self.mixture, self.text_room, self.vocabulary = mixture, text_room, vocabulary
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.world = dist.get_world_size() if dist.is_initialized() else 1
        self.optimiser = torch.optim.AdamW(
            parameter_groups(objective, options.weight_decay),
            lr=options.learning_rate,
            betas=(0.9, 0.999),
            fused=True,  # one pass over the weights instead of a dozen
        )
        self.cursor, self.step, self.samples = Cursor(), 0, 0
        self.ema = EMA(objective.student, options.ema_decay) if options.ema_decay else None
        self.total_samples = self._samples_in(options.max_steps)
        self.meter = _Meter()

    def _samples_in(self, steps: int) -> int:
        """Count the windows of the first `steps` steps in the plan."""
        left, samples, epoch = steps * self.options.gradient_accumulation_steps, 0, 0
        while left > 0:
            batches = self._plan(epoch)
            samples += sum(len(b) for b in batches[:left])
            left -= len(batches)
            epoch += 1
        return samples

    def _plan(self, epoch: int) -> list[list[PlannedWindow]]:
        return plan_epoch(self.durations_s, self.options.plan, epoch, self.mixture, self.text_room)

    def run(self, after_step: Callable[["Loop"], bool]) -> None:
        """Train until `max_steps`, or until `after_step` returns True."""
        self.objective.train()
        batches = self._batches()
        while self.step < self.options.max_steps:
            self._one_step([next(batches) for _ in range(self.options.gradient_accumulation_steps)])
            if after_step(self):
                return
            self.wrapped.train()

    def _one_step(self, parts: list[tuple[Batch, int, Cursor]]) -> None:
        # Each step of each rank seeds its own dropout and masks, so that a resume needs no generator's state,
        # which the checkpoint of one rank could not hold for the others.
        chance = np.random.SeedSequence((self.options.plan.seed, self.step, self.rank))
        torch.manual_seed(int(chance.generate_state(1)[0]))
        positions, tokens = self._global_counts([batch for batch, _, _ in parts])
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.optimiser.zero_grad(set_to_none=True)
        for i, (batch, _, _) in enumerate(parts):
            self._backward(batch, positions, tokens, last=i == len(parts) - 1)
        trained = [p for p in self.objective.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(trained, self.options.max_grad_norm)
        self.optimiser.step()
        if self.ema:
            self.ema.update(self.objective.student)
        self.step += 1
        windows = sum(count for _, count, _ in parts)
        self.samples += windows
        self.cursor = parts[-1][2]
        self.meter.add(steps=1, norm=float(norm), windows=windows, audio=sum(b.audio_s for b, _, _ in parts))

    def _backward(self, batch: Batch, positions: float, tokens: float, *, last: bool) -> None:
        waits = self.wrapped.no_sync() if self.world > 1 and not last else nullcontext()  # type: ignore[operator]  # DDP's
        with waits:
            with self._autocast():
                sums: StepSums = self.wrapped(batch.to(self.device))
                # DDP takes the mean over the ranks of what is already divided by the global count.
                loss = self.objective.total(sums, positions, tokens) * self.world
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        if not torch.isfinite(loss.detach()):
            raise TrainingError(f"step {self.step}: the loss is {loss.item()}; lower learning_rate.")
        self.meter.add(
            ce=float(sums.decoder.ce.detach()),
            kl=float(sums.decoder.kl.detach()),
            ctc=float(sums.ctc.detach()),
            positions=sums.decoder.positions,
            tokens=sums.ctc_tokens,
            loss=float(loss.detach()),
        )

    def learning_rate(self) -> float:
        """Return the rate of the next step."""
        o = self.options
        warmup = o.warmup_ratio * self.total_samples
        seen = self.samples + (1 if self.samples < warmup else 0)
        return o.learning_rate * rate(o.schedule, seen, warmup, self.total_samples, o.min_lr_ratio)

    def _autocast(self) -> Any:
        chosen = self.options.precision
        if chosen == "auto":
            chosen = "bfloat16" if self.device.type == "cuda" else "float32"
        return (
            torch.autocast(self.device.type, dtype=torch.bfloat16) if chosen == "bfloat16" else nullcontext()
        )

    def _global_counts(self, batches: Sequence[Batch]) -> tuple[float, float]:
        """Count target positions and CTC tokens of this step over all ranks."""
        counts = torch.tensor(
            [sum(b.positions for b in batches), sum(int((b.text_BS >= 0).sum()) for b in batches)],
            dtype=torch.float64,
            device=self.device,
        )
        if self.world > 1:
            dist.all_reduce(counts)
        return float(counts[0]), float(counts[1])

    def _batches(self) -> Iterator[tuple[Batch, int, Cursor]]:
        """Yield this rank's batches from the cursor on, with the global count of windows and the next cursor.

        A thread makes a few ahead: what they hold depends on the plan alone, not on when they are made.
        """
        with ThreadPoolExecutor(1) as pool:
            planned = self._planned()
            waiting = [pool.submit(self._make, *next(planned)) for _ in range(AHEAD)]
            while True:
                waiting.append(pool.submit(self._make, *next(planned)))
                yield waiting.pop(0).result()

    def _planned(self) -> Iterator[tuple[list[PlannedWindow], Cursor]]:
        cursor = self.cursor
        while True:
            batches = self._plan(cursor.epoch)
            for number in range(cursor.batch, len(batches)):
                after = Cursor(cursor.epoch, number + 1)
                yield batches[number], after
            cursor = Cursor(cursor.epoch + 1, 0)

    def _make(self, windows: list[PlannedWindow], after: Cursor) -> tuple[Batch, int, Cursor]:
        own = shard(windows, self.rank, self.world)
        o = self.options
        made = [
            example([self.clips[i] for i in w.clips], w, self.tokens, o.labels, o.augment, self.vocabulary)
            for w in own or windows[:1]
        ]
        bucketed = np.random.default_rng(windows[0].seed + 1).random() < o.plan.bucket_probability
        batch = collate(made, self.tokens.end, bucketed=bool(bucketed), smallest_s=self.smallest_window_s)
        return (batch if own else masked(batch)), len(windows), after

    def progress(self) -> Progress:
        """Return this rank's means since the last call."""
        meter, self.meter = self.meter, _Meter()
        passed_s = max(1e-9, time.perf_counter() - meter.started)
        return Progress(
            step=self.step,
            epoch=self.cursor.epoch,
            samples=self.samples,
            learning_rate=self.learning_rate(),
            loss=meter.mean("loss", "steps"),
            ce=meter.mean("ce", "positions"),
            kl=meter.mean("kl", "positions"),
            ctc=meter.mean("ctc", "tokens"),
            gradient_norm=meter.mean("norm", "steps"),
            samples_per_s=meter.sums.get("windows", 0.0) / passed_s,
            audio_s_per_s=meter.sums.get("audio", 0.0) / passed_s * self.world,
            threads=torch.get_num_threads(),
        )

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs."""
        return {
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "ema": (self.ema.steps, self.ema.weights) if self.ema else None,
            "cursor": (self.cursor.epoch, self.cursor.batch),
            "step": self.step,
            "samples": self.samples,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.objective.load_state_dict(state["objective"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.ema and state["ema"]:
            self.ema.restore(*state["ema"])
        self.cursor = Cursor(*state["cursor"])
        self.step, self.samples = state["step"], state["samples"]


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the trained parameters as two groups: matrices with decay, norms and biases without."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
