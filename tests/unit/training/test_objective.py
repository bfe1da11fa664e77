import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from voxray.corpora.store import Clip
from voxray.errors import TrainingError
from voxray.training.augment import AugmentOptions
from voxray.training.collate import Batch, LabelOptions, collate, example, masked
from voxray.training.objective import Objective, ObjectiveOptions
from voxray.training.plan import PlannedWindow
from voxray.whisper.checkpoint import load_model
from voxray.whisper.student import make_student
from voxray.whisper.tokens import Tokens

CE_ONLY = ObjectiveOptions(ce_weight=1.0, kl_weight=0.0)


@pytest.fixture
def teacher(tiny: Path) -> Any:
    return load_model(tiny)


@pytest.fixture(scope="module")
def batch(clips: list[Clip], tokens: Tokens) -> Batch:
    return batch_of(clips[2:4], tokens)


def batch_of(clips: Sequence[Clip], tokens: Tokens) -> Batch:
    windows = [
        PlannedWindow((0,), (), 1.0, c.duration_s, cut=False, full=False, seed=i) for i, c in enumerate(clips)
    ]
    pairs = zip(clips, windows, strict=True)
    return collate([example([c], w, tokens, LabelOptions(), AugmentOptions()) for c, w in pairs], tokens.end)


def distilling(teacher: Any, **options: Any) -> Objective:
    student = make_student(teacher, 1)
    return Objective(student, ObjectiveOptions(**options), teacher, teacher_short=True)


def loss(objective: Objective, batch: Batch) -> torch.Tensor:
    return objective.total(objective(batch), batch.positions, float((batch.text_BS >= 0).sum()))


def capture_argument(module: nn.Module, keyword: str, kept: list[Any]) -> None:
    """Keep what `module` is given as `keyword` whenever it is called."""

    def keep(_: nn.Module, __: Any, values: dict[str, Any]) -> None:
        kept.append(values[keyword])

    module.register_forward_pre_hook(keep, with_kwargs=True)


def test_a_frozen_encoder_has_no_gradient_and_no_dropout(teacher: Any, batch: Batch) -> None:
    objective = distilling(teacher)
    objective.train()
    torch.autograd.backward(loss(objective, batch))
    model = objective.student.model
    assert not any(m.training for m in model.encoder.modules())
    assert model.decoder.training
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.decoder.layers.parameters())


def test_a_frozen_decoder_has_no_gradient_and_no_dropout(teacher: Any, batch: Batch) -> None:
    objective = Objective(teacher, ObjectiveOptions(kl_weight=0.0, freeze_encoder=False, freeze_decoder=True))
    objective.train()
    torch.autograd.backward(loss(objective, batch))
    model = objective.student.model
    assert not any(m.training for m in model.decoder.modules())
    assert all(p.grad is None for p in model.decoder.parameters())
    assert all(p.grad is not None for p in model.encoder.layers.parameters())


def test_frozen_embeddings_have_no_gradient_and_the_layers_have_one(teacher: Any, batch: Batch) -> None:
    objective = Objective(teacher, ObjectiveOptions(kl_weight=0.0, freeze_embeddings=True))
    torch.autograd.backward(loss(objective, batch))
    model = objective.student.model
    assert model.decoder.embed_tokens.weight.grad is None
    assert model.decoder.embed_positions.weight.grad is None
    assert objective.student.proj_out.weight.grad is None
    assert all(p.grad is not None for p in model.decoder.layers.parameters())


def test_the_teacher_is_no_part_of_what_is_trained_saved_or_wrapped(teacher: Any) -> None:
    objective = distilling(teacher)
    own = {id(p) for p in objective.parameters()}
    assert not own & {id(p) for p in teacher.parameters()}
    assert all(name.startswith("student.") for name in objective.state_dict())
    assert not any(p.requires_grad for p in teacher.parameters())
    objective.train()
    assert not teacher.training


def test_teacher_and_student_are_given_the_same_inputs_with_one_start_token(
    teacher: Any, batch: Batch, tokens: Tokens
) -> None:
    objective = distilling(teacher)
    given: list[torch.Tensor] = []
    for model in (objective.student, teacher):
        capture_argument(model.model.decoder, "input_ids", given)
    objective(batch)
    assert len(given) == 2
    assert torch.equal(given[0], given[1])
    assert torch.equal(given[0], batch.inputs_BL)
    assert (given[0] == tokens.start).sum(1).tolist() == [1, 1]
    assert not (given[0] == tokens.previous).any()


def test_a_frozen_encoder_that_is_the_teachers_is_run_once(teacher: Any, batch: Batch) -> None:
    objective = distilling(teacher)
    captured: list[torch.Tensor] = []
    for model in (objective.student, teacher):
        capture_argument(model.model.decoder, "encoder_hidden_states", captured)
    objective(batch)
    assert captured[0] is captured[1]


def test_a_frozen_encoder_of_its_own_does_not_stand_in_for_the_teachers(teacher: Any, batch: Batch) -> None:
    student = make_student(teacher, 1)
    with torch.no_grad():
        student.model.encoder.layer_norm.weight += 0.5
    objective = Objective(student, ObjectiveOptions(), teacher, teacher_short=True)
    captured: list[torch.Tensor] = []
    capture_argument(teacher.model.decoder, "encoder_hidden_states", captured)
    objective(batch)
    own = distilling(teacher)
    capture_argument(own.student.model.decoder, "encoder_hidden_states", captured)
    own(batch)
    torch.testing.assert_close(captured[0], captured[1])


@pytest.mark.parametrize(("short", "positions"), [(True, 100), (False, 1500)])
def test_where_the_encoder_moves_the_teacher_gets_the_window_that_it_was_trained_on(
    teacher: Any, batch: Batch, short: bool, positions: int
) -> None:
    student = make_student(teacher, 1)
    objective = Objective(student, ObjectiveOptions(freeze_encoder=False), teacher, teacher_short=short)
    captured: list[torch.Tensor] = []
    capture_argument(teacher.model.decoder, "encoder_hidden_states", captured)
    objective(batch)
    assert captured[0].shape[1] == positions
    assert not captured[0].requires_grad


def test_a_student_that_is_its_teacher_has_no_kl(teacher: Any, batch: Batch) -> None:
    objective = Objective(copy.deepcopy(teacher), ObjectiveOptions(), teacher).eval()
    with torch.no_grad():
        same, other = objective(batch).decoder, distilling(teacher).eval()(batch).decoder
    assert abs(same.kl.item()) < 1e-3 < other.kl.item()
    assert same.ce.item() > 1.0


def test_without_kl_no_teacher_is_needed_or_asked(teacher: Any, batch: Batch) -> None:
    student = make_student(teacher, 2)
    asked: list[Any] = []
    capture_argument(teacher.model.decoder, "input_ids", asked)
    with torch.no_grad():
        alone = loss(Objective(student, CE_ONLY).eval(), batch)
        beside = loss(Objective(student, CE_ONLY, teacher).eval(), batch)
    assert torch.equal(alone, beside)
    assert not asked


def test_kl_without_a_teacher_is_refused(teacher: Any) -> None:
    with pytest.raises(TrainingError, match="kl_weight=1: expected a teacher, got none"):
        Objective(teacher, ObjectiveOptions())


def test_the_loss_is_the_weighted_sum_of_means(teacher: Any, batch: Batch) -> None:
    objective = distilling(teacher, ce_weight=0.8, kl_weight=0.5).eval()
    with torch.no_grad():
        sums = objective(batch)
    mean = (0.8 * sums.decoder.ce + 0.5 * sums.decoder.kl) / batch.positions
    torch.testing.assert_close(objective.total(sums, batch.positions, 0), mean)


def test_parts_of_a_batch_add_up_to_its_gradient(teacher: Any, clips: list[Clip], tokens: Tokens) -> None:
    objective = distilling(teacher).eval()
    halves = [batch_of(clips[at : at + 2], tokens) for at in (2, 4)]
    whole = collate_all(halves, tokens)

    torch.autograd.backward(loss(objective, whole))
    at_once = {k: p.grad.clone() for k, p in objective.named_parameters() if p.grad is not None}
    objective.zero_grad()
    for half in halves:
        torch.autograd.backward(objective.total(objective(half), whole.positions, 1))

    for name, parameter in objective.named_parameters():
        if name in at_once:
            torch.testing.assert_close(parameter.grad, at_once[name], rtol=1e-4, atol=1e-6)


def collate_all(batches: Sequence[Batch], tokens: Tokens) -> Batch:
    """`batches` one below the other; all have the same window."""
    columns = max(b.inputs_BL.shape[1] for b in batches)
    widths = max(b.text_BS.shape[1] for b in batches)
    pad = nn.functional.pad
    return Batch(
        torch.cat([b.samples_BT for b in batches]),
        torch.cat([b.lengths_B for b in batches]),
        torch.cat([pad(b.inputs_BL, (0, columns - b.inputs_BL.shape[1]), value=tokens.end) for b in batches]),
        torch.cat([pad(b.targets_BL, (0, columns - b.targets_BL.shape[1]), value=-100) for b in batches]),
        torch.cat([pad(b.text_BS, (0, widths - b.text_BS.shape[1]), value=-100) for b in batches]),
    )


def test_ctc_trains_the_encoder_through_a_head_of_its_own(teacher: Any, batch: Batch, tokens: Tokens) -> None:
    options = ObjectiveOptions(ce_weight=0.0, kl_weight=0.0, ctc_weight=1.0, freeze_encoder=False)
    objective = Objective(teacher, options, blank=tokens.end)
    sums = objective(batch)
    assert sums.ctc_tokens == int((batch.text_BS >= 0).sum()) > 0
    torch.autograd.backward(objective.total(sums, batch.positions, sums.ctc_tokens))
    assert objective.ctc_head is not None
    assert objective.ctc_head.weight.grad is not None
    assert all(p.grad is not None for p in objective.student.model.encoder.layers.parameters())
    assert not any("ctc" in name for name in objective.student.state_dict())


def test_a_masked_batch_adds_nothing_and_has_gradients_of_zero(
    teacher: Any, batch: Batch, tokens: Tokens
) -> None:
    options = ObjectiveOptions(kl_weight=0.0, ctc_weight=1.0, freeze_encoder=False)
    objective = Objective(teacher, options, blank=tokens.end)
    total = loss(objective, masked(batch))
    torch.autograd.backward(total)
    assert total.item() == 0.0
    found = [p.grad for p in objective.parameters() if p.grad is not None]
    assert found
    assert not any(g.any() for g in found)


def test_spec_augment_is_for_training_alone(teacher: Any, batch: Batch) -> None:
    objective = Objective(teacher, ObjectiveOptions(kl_weight=0.0, time_masks=2, frequency_masks=2))
    torch.manual_seed(0)
    with torch.no_grad():
        trained = [objective.train()(batch).decoder.ce.item() for _ in range(2)]
        scored = [objective.eval()(batch).decoder.ce.item() for _ in range(2)]
    assert trained[0] != trained[1]
    assert scored[0] == scored[1]
