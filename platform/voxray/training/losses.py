"""Losses over target positions, as sums, so that they are normalised once over all ranks and steps.

    CE = -sum log p_S(target)      KL = tau^2 * sum p_T (log p_T - log p_S), both softened by tau

(Distil-Whisper, section 3.2; Hinton et al., arXiv 1503.02531). Computed a chunk of positions at a time and,
where there are several chunks, recomputed in the backward pass, so that positions x vocabulary is never
whole in memory. Or over a sample of the vocabulary (`SampledTokens`): on a CPU the whole is most of a step's
time.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from voxray.whisper.labels import IGNORED

CHUNK = 1024  # positions; at 51,866 tokens in float32 about 0.2 GB


@dataclass(frozen=True, slots=True)
class LossSums:
    """Sums over target positions, in nats; `positions` is their count."""

    ce: torch.Tensor
    kl: torch.Tensor
    positions: int


@dataclass(frozen=True, slots=True)
class SampledTokens:
    """Tokens that stand for the vocabulary in the softmax of a step (Jean et al., arXiv 1412.2007).

    `ids_S` holds first, sorted, `wanted` tokens that count as themselves, then ones drawn uniformly from the
    others. To the logits of these `log_weights_S` adds the log of how many each stands for, so that the sum
    in the softmax's denominator has the whole vocabulary's as its expectation.
    """

    ids_S: torch.Tensor
    log_weights_S: torch.Tensor
    wanted: int

    def places(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return where in `ids_S` each of `tokens` is, all of which are wanted."""
        return torch.searchsorted(self.ids_S[: self.wanted].contiguous(), tokens)


def sample_tokens(wanted: torch.Tensor, num_sampled: int, vocabulary: int) -> SampledTokens:
    """Return the distinct tokens of `wanted`, and `num_sampled` of the others by torch's generator."""
    wanted_W: torch.Tensor = torch.unique(wanted)
    is_other_V = torch.ones(vocabulary, dtype=torch.bool, device=wanted.device)
    is_other_V[wanted_W] = False
    others = is_other_V.nonzero().squeeze(1)
    # The CPU's generator is seeded in each step; the order is the same on any device.
    drawn = others[torch.randperm(len(others))[:num_sampled].to(others.device)]
    log_weights_S = torch.zeros(len(wanted_W) + len(drawn), device=wanted.device)
    if len(drawn):
        log_weights_S[len(wanted_W) :] = math.log(len(others) / len(drawn))
    return SampledTokens(torch.cat([wanted_W, drawn]), log_weights_S, len(wanted_W))


def distillation_sums(
    student_NL: tuple[torch.Tensor, torch.Tensor],
    teacher_NL: tuple[torch.Tensor, torch.Tensor] | None,
    targets_BL: torch.Tensor,
    temperature: float = 2.0,
    sampled: SampledTokens | None = None,
) -> LossSums:
    """Return CE and KL sums of student and teacher, each `(hidden_BLD, projection_VD)`; no teacher, no KL.

    With `sampled`, which wants all targets, both distributions are over those tokens.
    """
    wanted = targets_BL != IGNORED
    targets_N = targets_BL[wanted]
    hidden_ND, projection = student_NL[0][wanted], student_NL[1]
    teacher_ND = teacher_NL[0][wanted] if teacher_NL else None
    log_weights_S = None
    if sampled:
        projection, targets_N = projection[sampled.ids_S], sampled.places(targets_N)
        teacher_NL = (teacher_NL[0], teacher_NL[1][sampled.ids_S]) if teacher_NL else None
        log_weights_S = sampled.log_weights_S
    ce = kl = hidden_ND[:0].sum(dtype=torch.float32)  # zero, with a gradient even where no position counts
    several = len(targets_N) > CHUNK
    for at in range(0, len(targets_N), CHUNK):
        here = slice(at, at + CHUNK)
        soft = (teacher_ND[here], teacher_NL[1]) if teacher_ND is not None and teacher_NL else None
        arguments = hidden_ND[here], projection, soft, targets_N[here], temperature, log_weights_S
        ce_part, kl_part = (
            checkpoint(_chunk_sums, *arguments, use_reentrant=False) if several else _chunk_sums(*arguments)
        )
        ce, kl = ce + ce_part, kl + kl_part
    return LossSums(ce, kl, len(targets_N))


def _chunk_sums(
    hidden_ND: torch.Tensor,
    projection_VD: torch.Tensor,
    teacher: tuple[torch.Tensor, torch.Tensor] | None,
    targets_N: torch.Tensor,
    temperature: float,
    log_weights_V: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    logits_NV = F.linear(hidden_ND, projection_VD).float()
    ce = F.cross_entropy(_weighted(logits_NV, log_weights_V), targets_N, reduction="sum")
    if teacher is None:
        return ce, ce.new_zeros(())
    with torch.no_grad():
        teacher_NV = F.linear(*teacher).float()
    return ce, kl_sum(logits_NV, teacher_NV, temperature, log_weights_V)


def _weighted(logits_NV: torch.Tensor, log_weights_V: torch.Tensor | None) -> torch.Tensor:
    return logits_NV if log_weights_V is None else logits_NV + log_weights_V


def kl_sum(
    student_NV: torch.Tensor,
    teacher_NV: torch.Tensor,
    temperature: float,
    log_weights_V: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return tau^2 * sum over positions of KL(teacher || student), both softened by `temperature`."""
    log_p_student = F.log_softmax(_weighted(student_NV / temperature, log_weights_V), dim=-1)
    log_p_teacher = F.log_softmax(_weighted(teacher_NV / temperature, log_weights_V), dim=-1)
    return temperature**2 * F.kl_div(log_p_student, log_p_teacher, reduction="sum", log_target=True)


def ctc_sum(
    logits_BTV: torch.Tensor, input_lengths_B: torch.Tensor, targets_BS: torch.Tensor, blank: int
) -> tuple[torch.Tensor, int]:
    """Return CTC over the encoder's positions and the number of target tokens; IGNORED pads targets.

    Impossible alignments (more tokens than positions) count as nothing.
    """
    lengths_B = (targets_BS != IGNORED).sum(-1)
    log_p_TBV = F.log_softmax(logits_BTV.float(), dim=-1).transpose(0, 1)
    targets = targets_BS.clamp(min=0)
    total = F.ctc_loss(
        log_p_TBV, targets, input_lengths_B, lengths_B, blank=blank, reduction="sum", zero_infinity=True
    )
    return total, int(lengths_B.sum())
