"""A model learns to hear in short windows what it hears in 30 s: the one loop, against a cached teacher.

    loss = kl_weight * KL + mse_weight * MSE       where the teacher spoke
    loss = CE                                      on silence

KL is that of `losses.py`. MSE is the mean squared distance of the last decoder states, as in FUTO's ACFT
(github.com/futo-org/whisper-acft), which has it alone. Both are means over the positions of a step.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from voxray.audio import duration_s, to_float
from voxray.config import Config
from voxray.training.collate import Batch, Example, collate
from voxray.training.loop import Loop, LoopOptions
from voxray.training.losses import LossSums, distillation_sums
from voxray.training.objective import Objective, ObjectiveOptions, StepSums
from voxray.training.plan import Cursor, PlannedWindow, plan_epoch
from voxray.training.rendering import RenderedWindows
from voxray.training.teacher_cache import Target, TeacherCache
from voxray.whisper.ctranslate import WINDOWS_S
from voxray.whisper.encoder import decode_states, encode
from voxray.whisper.labels import IGNORED
from voxray.whisper.tokens import Tokens

Part = Literal["lora", "encoder", "all"]


class DistanceOptions(Config):
    """How far a student is from the cached teacher."""

    kl_weight: float = 1.0
    """Weight of the KL divergence from the teacher's distribution."""
    mse_weight: float = 1.0
    """Weight of the squared distance of the last decoder states."""
    temperature: float = 1.0
    """Softens both distributions of the KL divergence."""


@dataclass(frozen=True, slots=True)
class TaughtBatch(Batch):
    """A batch with the teacher's last decoder states, zero where it has none, and where it has them."""

    taught_BLD: torch.Tensor
    is_taught_BL: torch.Tensor

    def to(self, device: torch.device) -> "TaughtBatch":
        """Return the same on `device`."""
        return TaughtBatch(*(t.to(device, non_blocking=True) for t in self.tensors()))

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Return all tensors in the order of the fields."""
        return (*Batch.tensors(self), self.taught_BLD, self.is_taught_BL)


@dataclass(frozen=True, slots=True)
class TaughtSums(StepSums):
    """The sums of a step: CE of what was not taught, KL and `mse` of what was."""

    mse: torch.Tensor


class CachedObjective(Objective):
    """A student against cached states. `projection` makes the teacher's logits of them."""

    def __init__(self, student: Any, part: Part, options: DistanceOptions) -> None:
        frozen = [p for p in student.parameters() if not p.requires_grad]
        loss = ObjectiveOptions(kl_weight=0.0, freeze_encoder=False, freeze_decoder=part == "encoder")
        super().__init__(student, loss)
        for parameter in frozen:  # what an adapter is put on
            parameter.requires_grad_(False)
        self.distance = options
        self.projection: torch.Tensor
        self.register_buffer("projection", student.proj_out.weight.detach().clone(), persistent=False)

    def forward(self, batch: Batch) -> TaughtSums:
        """Return the loss sums of `batch`, which must be a TaughtBatch."""
        assert isinstance(batch, TaughtBatch)
        states_BTD = encode(self.student.model.encoder, self._mel(batch.samples_BT))
        hidden_BLD = decode_states(self.student.model.decoder, batch.inputs_BL, states_BTD)
        student = hidden_BLD, self.student.proj_out.weight
        teacher = batch.taught_BLD, self.projection
        soft_BL = batch.targets_BL.masked_fill(~batch.is_taught_BL, IGNORED)
        hard_BL = batch.targets_BL.masked_fill(batch.is_taught_BL, IGNORED)
        soft = distillation_sums(student, teacher, soft_BL, self.distance.temperature)
        hard = distillation_sums(student, None, hard_BL)
        wanted = soft_BL != IGNORED
        mse = (hidden_BLD[wanted].float() - batch.taught_BLD[wanted]).square().mean(-1).sum()
        sums = LossSums(hard.ce, soft.kl, soft.positions + hard.positions)
        return TaughtSums(sums, states_BTD.new_zeros(()), 0, mse)

    def total(self, sums: StepSums, positions: float, ctc_tokens: float) -> torch.Tensor:
        """Return the loss: weighted means over the global count of positions."""
        assert isinstance(sums, TaughtSums)
        o = self.distance
        loss = sums.decoder.ce + o.kl_weight * sums.decoder.kl + o.mse_weight * sums.mse
        return loss / max(1.0, positions)


class CachedLoop(Loop):
    """The loop over windows whose targets are cached: `audio` and `cache` are in the same order."""

    def __init__(
        self,
        objective: CachedObjective,
        audio: RenderedWindows,
        cache: TeacherCache,
        tokens: Tokens,
        options: LoopOptions,
        *,
        smallest_window_s: float = WINDOWS_S[0],
        device: torch.device | None = None,
    ) -> None:
        """Windows without a label are left out."""
        self.audio, self.cache = audio, cache
        self.rows = [i for i, label in enumerate(cache.labels()) if label]
        durations_s = [duration_s(audio[i]) for i in self.rows]
        super().__init__(
            objective,
            audio.clips,
            durations_s,
            tokens,
            options,
            smallest_window_s=smallest_window_s,
            device=device,
        )

    def _make(self, windows: list[PlannedWindow], after: Cursor) -> tuple[Batch, int, Cursor]:
        rows = [self.rows[window.clips[0]] for window in windows]
        taught = [self.cache[i] for i in rows]
        examples = [
            Example(to_float(self.audio[i]), target.label, (), window.full)
            for i, target, window in zip(rows, taught, windows, strict=True)
        ]
        bucketed = np.random.default_rng(windows[0].seed).random() < self.options.plan.bucket_probability
        smallest_s = self.smallest_window_s
        batch = collate(examples, self.tokens.end, bucketed=bool(bucketed), smallest_s=smallest_s)
        return with_states(batch, taught), len(windows), after

    def batches_per_epoch(self) -> int:
        """Return the batches of the first epoch; those of the others are about as many."""
        return len(plan_epoch(self.durations_s, self.options.plan, 0))

    def seconds_per_step(self, steps: int = 2) -> float:
        """Return how long a step takes here, from `steps` of which nothing is learned."""
        batches = plan_epoch(self.durations_s, self.options.plan, 0)
        started = time.perf_counter()
        for windows in batches[:steps]:
            batch, _, _ = self._make(windows, Cursor())
            self._backward(batch, batch.positions, 0.0, last=True)
        self.objective.zero_grad(set_to_none=True)
        return (time.perf_counter() - started) / min(steps, len(batches))


def with_states(batch: Batch, targets: Sequence[Target]) -> TaughtBatch:
    """Return `batch` with the states of `targets`, one a row, padded to its positions."""
    rows, positions = batch.inputs_BL.shape
    taught_BLD = torch.zeros(rows, positions, targets[0].states.shape[1])
    is_taught_BL = torch.zeros(rows, positions, dtype=torch.bool)
    for row, target in enumerate(targets):
        count = len(target.states)
        taught_BLD[row, :count] = torch.from_numpy(target.states).float()
        is_taught_BL[row, :count] = True
    return TaughtBatch(
        batch.samples_BT,
        batch.lengths_B,
        batch.inputs_BL,
        batch.targets_BL,
        batch.text_BS,
        taught_BLD,
        is_taught_BL,
    )
