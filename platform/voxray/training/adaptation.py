"""Trains a model to transcribe short windows as it does windows of 30 s, against a cached teacher.

    loss = kl_weight * KL + mse_weight * MSE       in speech
    loss = CE                                      in silence

KL is that of `losses.py`. MSE is the squared distance of the last decoder states, as in FUTO's ACFT
(github.com/futo-org/whisper-acft), which has it alone, here as a fraction of the teacher's state squared: of
tiny.en's states the plain mean is 116 times that, and hides the KL. Both are means over the positions of a
step.

Whisper never ends a text before its first token: decoding bars `begin_suppress_tokens` there, and so invents
a word for silence. The student learns its first token from the teacher's distribution without the barred
ones; so it can be decoded with the end of the text allowed, and ends at once only in silence.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional as F

from voxray.audio import WINDOW_S, duration_s, to_float
from voxray.config import Config
from voxray.training.collate import Batch, Example, collate
from voxray.training.loop import Loop
from voxray.training.loop_options import LoopOptions
from voxray.training.losses import LossSums, distillation_sums, kl_sum
from voxray.training.objective import Objective, ObjectiveOptions, StepSums
from voxray.training.plan import Cursor, PlannedWindow
from voxray.training.rendering import RenderedWindows
from voxray.training.teacher_cache import Target, TeacherCache
from voxray.whisper.ctranslate import WINDOWS_S
from voxray.whisper.encoder import decode_states, encode
from voxray.whisper.labels import IGNORED
from voxray.whisper.tokens import Tokens

Part = Literal["lora", "encoder", "all"]
BARRED = -1e4  # a logit of which nothing is left, and whose product with zero is zero


class DistanceOptions(Config):
    """How far a student is from the cached teacher."""

    kl_weight: float = 1.0
    """Weight of the KL divergence from the teacher's distribution."""
    mse_weight: float = 1.0
    """Weight of the squared distance of the last decoder states, relative to the teacher's."""
    temperature: float = 1.0
    """Softens both distributions of the KL divergence."""


@dataclass(frozen=True, slots=True)
class CachedBatch(Batch):
    """A batch with the teacher's last decoder states, zero where it has none, and where it has them."""

    teacher_BLD: torch.Tensor
    has_teacher_BL: torch.Tensor

    def to(self, device: torch.device) -> "CachedBatch":
        """Return the same on `device`."""
        return CachedBatch(*(t.to(device, non_blocking=True) for t in self.tensors()))

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Return all tensors in the order of the fields."""
        return (*Batch.tensors(self), self.teacher_BLD, self.has_teacher_BL)


@dataclass(frozen=True, slots=True)
class CachedSums(StepSums):
    """The sums of a step: CE where there are no teacher's states, KL and `mse` where there are."""

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
        decoding = student.generation_config
        self.prompt_end = int(decoding.no_timestamps_token_id)
        self.barred = list(decoding.begin_suppress_tokens or ())
        self.projection: torch.Tensor
        self.register_buffer("projection", student.proj_out.weight.detach().clone(), persistent=False)

    def forward(self, batch: Batch) -> CachedSums:
        """Return the loss sums of `batch`, which must be a CachedBatch."""
        assert isinstance(batch, CachedBatch)
        states_BTD = encode(self.student.model.encoder, self._mel(batch.samples_BT))
        hidden_BLD = decode_states(self.student.model.decoder, batch.inputs_BL, states_BTD)
        is_first_BL = batch.has_teacher_BL & (batch.inputs_BL == self.prompt_end)
        soft_BL = batch.targets_BL.masked_fill(~batch.has_teacher_BL | is_first_BL, IGNORED)
        hard_BL = batch.targets_BL.masked_fill(batch.has_teacher_BL, IGNORED)
        student = hidden_BLD, self.student.proj_out.weight
        soft = distillation_sums(
            student, (batch.teacher_BLD, self.projection), soft_BL, self.distance.temperature
        )
        hard = distillation_sums(student, None, hard_BL)
        kl = soft.kl + self._first_kl(hidden_BLD[is_first_BL], batch.teacher_BLD[is_first_BL])
        wanted = soft_BL != IGNORED
        mse = _relative_mse_sum(hidden_BLD[wanted].float(), batch.teacher_BLD[wanted])
        sums = LossSums(hard.ce, kl, soft.positions + hard.positions + int(is_first_BL.sum()))
        return CachedSums(sums, states_BTD.new_zeros(()), 0, mse)

    def _first_kl(self, hidden_ND: torch.Tensor, teacher_ND: torch.Tensor) -> torch.Tensor:
        """Return the KL sum at first tokens, `barred` left out of the teacher's distribution."""
        with torch.no_grad():
            teacher_NV = F.linear(teacher_ND, self.projection).float()
            teacher_NV[:, self.barred] = BARRED
        logits_NV = F.linear(hidden_ND, self.student.proj_out.weight).float()
        return kl_sum(logits_NV, teacher_NV, self.distance.temperature)

    def total(self, sums: StepSums, positions: float, ctc_tokens: float) -> torch.Tensor:
        """Return the loss: weighted means over the global count of positions."""
        assert isinstance(sums, CachedSums)
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
        longest_window_s: float = WINDOW_S,
        device: torch.device | None = None,
    ) -> None:
        """Windows without a label or over `longest_window_s` are left out."""
        self.audio, self.cache = audio, cache
        labelled = [(i, duration_s(audio[i])) for i, label in enumerate(cache.labels()) if label]
        kept = [(i, seconds) for i, seconds in labelled if seconds <= longest_window_s]
        self.rows = [i for i, _ in kept]
        durations_s = [seconds for _, seconds in kept]
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
        cached = [self.cache[i] for i in rows]
        examples = [
            Example(to_float(self.audio[i]), target.label, (), window.full)
            for i, target, window in zip(rows, cached, windows, strict=True)
        ]
        bucketed = np.random.default_rng(windows[0].seed).random() < self.options.plan.bucket_probability
        smallest_s = self.smallest_window_s
        batch = collate(examples, self.tokens.end, bucketed=bool(bucketed), smallest_s=smallest_s)
        return with_states(batch, cached), len(windows), after

    def batches_per_epoch(self) -> int:
        """Return the batches of the first epoch; those of the others are about as many."""
        return len(self._plan(0))

    def seconds_per_step(self, steps: int = 2) -> float:
        """Return how long a step takes here, from `steps` of which nothing is learned."""
        batches = self._plan(0)
        started = time.perf_counter()
        for windows in batches[:steps]:
            batch, _, _ = self._make(windows, Cursor())
            self._backward(batch, batch.positions, 0.0, last=True)
        self.objective.zero_grad(set_to_none=True)
        return (time.perf_counter() - started) / min(steps, len(batches))


def _relative_mse_sum(states_ND: torch.Tensor, teacher_ND: torch.Tensor) -> torch.Tensor:
    """Return the sum over positions of |s - t|^2 / |t|^2."""
    return ((states_ND - teacher_ND).square().sum(-1) / teacher_ND.square().sum(-1)).sum()


def with_states(batch: Batch, targets: Sequence[Target]) -> CachedBatch:
    """Return `batch` with the states of `targets`, one a row, padded to its positions."""
    rows, positions = batch.inputs_BL.shape
    teacher_BLD = torch.zeros(rows, positions, targets[0].states.shape[1])
    has_teacher_BL = torch.zeros(rows, positions, dtype=torch.bool)
    for row, target in enumerate(targets):
        count = len(target.states)
        teacher_BLD[row, :count] = torch.from_numpy(target.states).float()
        has_teacher_BL[row, :count] = True
    return CachedBatch(
        batch.samples_BT,
        batch.lengths_B,
        batch.inputs_BL,
        batch.targets_BL,
        batch.text_BS,
        teacher_BLD,
        has_teacher_BL,
    )
