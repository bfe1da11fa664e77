"""The training loop of fine-tuning, distillation and adaptation. Plain torch, no Ray.

A run is a function of its options and data: stopped at any step and resumed from a checkpoint, it has the
same losses, bit for bit, on a CPU in float32.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from voxray.audio import WINDOW_S
from voxray.corpora.store import Clip
from voxray.errors import TrainingError
from voxray.training.collate import Batch, collate, example, masked
from voxray.training.ema import EMA
from voxray.training.loop_options import LoopOptions
from voxray.training.objective import Objective, StepSums
from voxray.training.plan import (
    Cursor,
    JoinRules,
    Mixture,
    PlannedWindow,
    batch_key,
    plan_epoch,
    reordered,
    shard,
)
from voxray.training.schedule import rate
from voxray.whisper.ctranslate import WINDOWS_S
from voxray.whisper.tokens import Tokens

AHEAD = 4  # batches made while the device computes


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is after a step; losses are means per token since the last report, in nats."""

    step: int
    max_steps: int
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

    `wrapped` is the objective, or DDP around it; a `mixture` weighs the sets that `clips` are of, and `rules`
    say which of them may be joined. After `distinct_epochs` the same batches come again, in another order;
    0 plans every epoch anew. Call `restore` before `run` to continue from a checkpoint.
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
        rules: JoinRules | None = None,
        vocabulary: Sequence[str] = (),
        distinct_epochs: int = 0,
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
        self.mixture, self.rules, self.vocabulary = mixture, rules, vocabulary
        self.distinct_epochs = distinct_epochs
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
        self.max_steps = self._steps()
        self.total_samples = self._samples_in(self.max_steps)
        scaled = options.precision == "float16"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)
        self.meter = _Meter()

    def _steps(self) -> int:
        """Return the optimiser steps of the run: `max_steps`, or those of `max_epochs` if they are fewer."""
        o = self.options
        batches = sum(len(self._plan(epoch)) for epoch in range(o.max_epochs or 0))
        return min(o.max_steps, max(1, batches // o.gradient_accumulation_steps)) if batches else o.max_steps

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
        options, first = self.options.plan, epoch % self.distinct_epochs if self.distinct_epochs else epoch
        batches = plan_epoch(self.durations_s, options, first, self.mixture, self.rules)
        return batches if first == epoch else reordered(batches, options.seed, epoch)

    def run(self, after_step: Callable[["Loop"], bool]) -> None:
        """Train until step `max_steps`, or until `after_step` returns True."""
        self.objective.train()
        batches = self._batches()
        while self.step < self.max_steps:
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
        self.scaler.unscale_(self.optimiser)
        trained = [p for p in self.objective.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(trained, self.options.max_grad_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
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
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch's own
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
        if chosen == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=getattr(torch, chosen))

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

    def _clips_of(self, window: PlannedWindow) -> list[Clip]:
        indices = window.clips if window.like is None else (window.like,)
        return [self.clips[i] for i in indices]

    def _make(self, windows: list[PlannedWindow], after: Cursor) -> tuple[Batch, int, Cursor]:
        own = shard(windows, self.rank, self.world)
        o = self.options
        made = [
            example(self._clips_of(w), w, self.tokens, o.labels, o.augment, self.vocabulary)
            for w in own or windows[:1]
        ]
        bucketed = np.random.default_rng(windows[0].seed + 1).random() < o.plan.bucket_probability
        batch = collate(made, self.tokens.end, bucketed=bool(bucketed), smallest_s=self.smallest_window_s)
        if self.distinct_epochs:
            batch = replace(batch, key=batch_key(own or windows[:1]))
        return (batch if own else masked(batch)), len(windows), after

    def progress(self) -> Progress:
        """Return this rank's means since the last call."""
        meter, self.meter = self.meter, _Meter()
        passed_s = max(1e-9, time.perf_counter() - meter.started)
        return Progress(
            step=self.step,
            max_steps=self.max_steps,
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
            "scaler": self.scaler.state_dict(),
            "ema": (self.ema.steps, self.ema.weights) if self.ema else None,
            "cursor": (self.cursor.epoch, self.cursor.batch),
            "step": self.step,
            "samples": self.samples,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.objective.load_state_dict(state["objective"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
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
