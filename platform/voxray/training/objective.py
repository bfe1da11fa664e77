"""The objective of a step: a student, a teacher if there is one, and a batch become sums of losses."""

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import nn

from voxray.audio import HOP_LENGTH, WINDOW_SAMPLES
from voxray.config import Config, Probability
from voxray.errors import TrainingError
from voxray.training.augment import spec_augment
from voxray.training.collate import Batch
from voxray.training.frozen_states import FrozenStates, FrozenStatesCache
from voxray.training.losses import CHUNK, LossSums, SampledTokens, ctc_sum, distillation_sums, sample_tokens
from voxray.whisper.encoder import decode_states, encode
from voxray.whisper.features import log_mel
from voxray.whisper.labels import IGNORED

TOP_K = 8  # most probable tokens of the teacher at each position, which a sampled softmax always has


class DistillationOptions(Config):
    """Weights of the losses; the defaults are those of Distil-Whisper's code."""

    kl_weight: float = Field(default=1.0, ge=0)
    """Weight of the KL divergence from the teacher; 0 keeps no teacher in memory."""
    ce_weight: float = Field(default=0.8, ge=0)
    """Weight of the cross-entropy with the labels."""
    temperature: float = Field(default=2.0, gt=0)
    """Temperature that softens teacher and student in the KL divergence."""
    num_sampled: int = Field(default=0, ge=0)
    """Tokens drawn for the softmax of a step, beside its labels and the teacher's most probable; 0: all."""


class SpecAugmentOptions(Config):
    """Masks of the log-mel features (SpecAugment, arXiv 1904.08779)."""

    time_masks: int = Field(default=0, ge=0)
    """Masks of up to 0.4 s in each window."""
    frequency_masks: int = Field(default=0, ge=0)
    """Masks of up to a sixth of the mel bands in each window."""


class ObjectiveOptions(DistillationOptions, SpecAugmentOptions):
    """The losses, what is frozen, and what the device does to the features."""

    ctc_weight: float = Field(default=0.0, ge=0)
    """Weight of CTC on the encoder, for random weights only; its head is not part of the model."""
    freeze_encoder: bool = True
    """Leave the encoder as it is."""
    freeze_decoder: bool = False
    """Leave the decoder as it is."""
    freeze_embeddings: bool = False
    """Leave the decoder's embeddings of tokens and positions, and the tied projection, as they are."""
    layer_drop: Probability = 0.0
    """How often a decoder layer is left out, never the last one, so that students can be cut from it."""


@dataclass(frozen=True, slots=True)
class StepSums:
    """Sums of one rank's batch: of the loss to differentiate, and of its parts for the log."""

    decoder: LossSums
    ctc: torch.Tensor
    ctc_tokens: int


class Objective(nn.Module):
    """Student and CTC head as one module, so that one DDP wraps both; the teacher stays outside it.

    With a frozen encoder that is the teacher's own, one encoder pass feeds both decoders. Otherwise the
    teacher gets the windows that it was trained on: padded to 30 s unless `teacher_short`. A `cache` keeps
    what is frozen of each batch that has a key; masks of the features would be kept with it. Raises
    TrainingError if `kl_weight` asks for a teacher and there is none.
    """

    def __init__(
        self,
        student: Any,
        options: ObjectiveOptions,
        teacher: Any | None = None,
        *,
        blank: int = 0,
        teacher_short: bool = False,
        cache: FrozenStatesCache | None = None,
    ) -> None:
        super().__init__()
        if options.kl_weight and teacher is None:
            raise TrainingError(f"kl_weight={options.kl_weight:g}: expected a teacher, got none.")
        self.student = student
        self.options = options
        self.blank = blank
        self.teacher_short = teacher_short
        self.cache = cache
        self.n_mels: int = student.config.num_mel_bins
        self.ctc_head = nn.Linear(student.config.d_model, blank + 1) if options.ctc_weight else None
        self._teacher = [teacher.eval().requires_grad_(False)] if teacher is not None else []
        self._shares_encoder = (
            options.freeze_encoder and teacher is not None and _same_encoder(student, teacher)
        )
        student.model.encoder.requires_grad_(not options.freeze_encoder)
        student.model.encoder.embed_positions.requires_grad_(False)  # sinusoids, also in the longest window
        if options.freeze_decoder:
            student.model.decoder.requires_grad_(False)
        if options.freeze_embeddings:
            student.model.decoder.embed_tokens.requires_grad_(False)
            student.model.decoder.embed_positions.requires_grad_(False)

    def train(self, mode: bool = True) -> "Objective":
        """Set train mode; frozen parts stay in evaluation mode, without dropout."""
        super().train(mode)
        if self.options.freeze_encoder:
            self.student.model.encoder.eval()
        if self.options.freeze_decoder:
            self.student.model.decoder.eval()
        return self

    def forward(self, batch: Batch) -> StepSums:
        """Return the loss sums of `batch`."""
        frozen = self._frozen_states(batch)
        teacher_BLD = frozen.teacher_BLD
        states_BTD = frozen.encoder_BTD if frozen.encoder_BTD is not None else self._encoded(batch)
        hidden_BLD = decode_states(
            self.student.model.decoder, batch.inputs_BL, states_BTD, self.options.layer_drop
        )
        decoder = distillation_sums(
            (hidden_BLD, self.student.proj_out.weight),
            None if teacher_BLD is None else (teacher_BLD, self._teacher[0].proj_out.weight),
            batch.targets_BL,
            self.options.temperature,
            self._sampled(batch, frozen.expected_K),
        )
        ctc, count = self._ctc(states_BTD, batch)
        return StepSums(decoder, ctc, count)

    def total(self, sums: StepSums, positions: float, ctc_tokens: float) -> torch.Tensor:
        """Return the loss: weighted means over the global counts of positions and CTC tokens."""
        o = self.options
        loss = (o.ce_weight * sums.decoder.ce + o.kl_weight * sums.decoder.kl) / max(1.0, positions)
        return loss + o.ctc_weight * sums.ctc / max(1.0, ctc_tokens)

    @torch.no_grad()
    def _mel(self, samples_BT: torch.Tensor) -> torch.Tensor:
        with torch.autocast(samples_BT.device.type, enabled=False):
            mel_BFT = log_mel(samples_BT, self.n_mels)
        o = self.options
        if self.training and (o.time_masks or o.frequency_masks):
            return spec_augment(mel_BFT, o.time_masks, o.frequency_masks)
        return mel_BFT

    def _encoded(self, batch: Batch) -> torch.Tensor:
        # The teacher's has the same weights, and its attention was not chosen for a backward pass.
        model = self._teacher[0] if self._shares_encoder else self.student
        return encode(model.model.encoder, self._mel(batch.samples_BT))

    @torch.no_grad()
    def _frozen_states(self, batch: Batch) -> FrozenStates:
        """Return the states of a frozen encoder and of the teacher, from the cache if they are there."""
        cache = self.cache if batch.key else None
        if cache and (kept := cache.get(batch.key, batch.inputs_BL.device)):
            return kept
        encoder_BTD = self._encoded(batch) if self.options.freeze_encoder else None
        teacher_BLD = self._teacher_states(batch, encoder_BTD)
        states = FrozenStates(encoder_BTD, teacher_BLD, self._expected(batch, teacher_BLD))
        return cache.put(batch.key, states) if cache else states

    def _expected(self, batch: Batch, teacher_BLD: torch.Tensor | None) -> torch.Tensor | None:
        """Return the `TOP_K` most probable tokens of the teacher at all target positions, each once."""
        if teacher_BLD is None or not self.options.num_sampled:
            return None
        teacher_ND = teacher_BLD[batch.targets_BL != IGNORED]
        projection = self._teacher[0].proj_out.weight
        top_k = [(part_ND @ projection.T).topk(TOP_K).indices for part_ND in torch.split(teacher_ND, CHUNK)]
        expected_K: torch.Tensor = torch.unique(torch.cat(top_k))
        return expected_K

    def _sampled(self, batch: Batch, expected_K: torch.Tensor | None) -> SampledTokens | None:
        if not self.options.num_sampled:
            return None
        targets = batch.targets_BL[batch.targets_BL != IGNORED]
        wanted = targets if expected_K is None else torch.cat([targets, expected_K])
        return sample_tokens(wanted, self.options.num_sampled, self.student.config.vocab_size)

    def _teacher_states(self, batch: Batch, encoder_BTD: torch.Tensor | None) -> torch.Tensor | None:
        if not self._teacher or not self.options.kl_weight:
            return None
        teacher = self._teacher[0]
        shared_BTD = encoder_BTD if self._shares_encoder else None
        states_BTD = self._encoded_by(teacher, batch.samples_BT) if shared_BTD is None else shared_BTD
        return decode_states(teacher.model.decoder, batch.inputs_BL, states_BTD)

    def _encoded_by(self, teacher: Any, samples_BT: torch.Tensor) -> torch.Tensor:
        missing = 0 if self.teacher_short else WINDOW_SAMPLES - samples_BT.shape[1]
        with torch.autocast(samples_BT.device.type, enabled=False):
            mel_BFT = log_mel(nn.functional.pad(samples_BT, (0, missing)), self.n_mels)
        return encode(teacher.model.encoder, mel_BFT)

    def _ctc(self, states_BTD: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, int]:
        if self.ctc_head is None:
            return states_BTD.new_zeros((), dtype=torch.float32), 0
        positions_B = (batch.lengths_B // (2 * HOP_LENGTH)).clamp(max=states_BTD.shape[1])
        return ctc_sum(self.ctc_head(states_BTD), positions_B, batch.text_BS, self.blank)


def _same_encoder(student: Any, teacher: Any) -> bool:
    own, its = student.model.encoder.state_dict(), teacher.model.encoder.state_dict()
    return own.keys() == its.keys() and all(torch.equal(own[k].cpu(), its[k].cpu()) for k in own)
