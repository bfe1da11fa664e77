import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from voxray.training.losses import CHUNK, ctc_sum, distillation_sums, kl_sum, sample_tokens
from voxray.whisper.labels import IGNORED

VOCABULARY, WIDTH, TAU = 11, 4, 2.0


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def targets(rows: int, columns: int) -> torch.Tensor:
    drawn = torch.randint(0, VOCABULARY, (rows, columns), generator=torch.Generator().manual_seed(9))
    drawn[0, columns // 2 :] = IGNORED
    return drawn


@pytest.mark.parametrize("columns", [6, CHUNK // 2 + 100], ids=["one chunk", "two chunks"])
def test_sums_and_gradients_are_those_of_all_logits_at_once(columns: int) -> None:
    wanted = targets(2, columns)
    hidden, projection = random(2, columns, WIDTH, seed=1), random(VOCABULARY, WIDTH, seed=2)
    teacher = random(2, columns, 3, seed=3).detach(), random(VOCABULARY, 3, seed=4).detach()
    sums = distillation_sums((hidden, projection), teacher, wanted, TAU)
    torch.autograd.backward(0.8 * sums.ce + sums.kl)
    ours = hidden.grad, projection.grad
    hidden.grad = projection.grad = None

    student_BLV, teacher_BLV = hidden @ projection.T, teacher[0] @ teacher[1].T
    ce = F.cross_entropy(student_BLV.transpose(1, 2), wanted, reduction="sum", ignore_index=IGNORED)
    p = (teacher_BLV / TAU).softmax(-1)
    each_BLV = p * (p.log() - (student_BLV / TAU).log_softmax(-1))
    kl = TAU**2 * each_BLV.sum(-1)[wanted != IGNORED].sum()
    torch.autograd.backward(0.8 * ce + kl)

    assert sums.positions == int((wanted != IGNORED).sum())
    torch.testing.assert_close(sums.ce, ce)
    torch.testing.assert_close(sums.kl, kl)
    for mine, naive in zip(ours, (hidden.grad, projection.grad), strict=True):
        torch.testing.assert_close(mine, naive, rtol=1e-4, atol=1e-5)


def test_kl_is_zero_where_student_and_teacher_agree_and_positive_elsewhere() -> None:
    a, b = random(5, VOCABULARY, seed=1), random(5, VOCABULARY, seed=2)
    torch.testing.assert_close(kl_sum(a, a + 3.0, TAU), torch.tensor(0.0), atol=1e-4, rtol=0)
    assert kl_sum(a, b, TAU) > 0.1


def test_kl_grows_with_the_square_of_the_temperature_that_its_logits_grow_with() -> None:
    a, b = random(5, VOCABULARY, seed=1), random(5, VOCABULARY, seed=2)
    torch.testing.assert_close(kl_sum(3 * a, 3 * b, 3.0), 9 * kl_sum(a, b, 1.0))


def test_ignored_positions_count_for_nothing() -> None:
    wanted = targets(2, 6)
    projection = random(VOCABULARY, WIDTH, seed=2)
    hidden = random(2, 6, WIDTH, seed=1).detach()
    changed = hidden.clone()
    changed[wanted == IGNORED] = 100.0
    a, b = (distillation_sums((h, projection), (h, projection), wanted) for h in (hidden, changed))
    assert a.positions == 9
    assert torch.equal(a.ce, b.ce)
    assert torch.equal(a.kl, b.kl)


def test_without_a_teacher_there_is_no_kl() -> None:
    student = random(2, 6, WIDTH, seed=1).detach(), random(VOCABULARY, WIDTH, seed=2).detach()
    sums = distillation_sums(student, None, targets(2, 6))
    assert float(sums.kl) == 0.0
    assert float(sums.ce) > 0.0


def test_a_batch_in_which_nothing_counts_has_zero_gradients_rather_than_none() -> None:
    hidden, projection = random(2, 6, WIDTH, seed=1), random(VOCABULARY, WIDTH, seed=2)
    sums = distillation_sums((hidden, projection), None, torch.full((2, 6), IGNORED))
    torch.autograd.backward(sums.ce + sums.kl)
    assert sums.positions == 0
    assert sums.ce.item() == sums.kl.item() == 0.0
    assert hidden.grad is not None
    assert not hidden.grad.any()


def test_ctc_of_padded_targets_is_the_sum_over_the_rows_alone() -> None:
    logits = random(2, 8, VOCABULARY, seed=1)
    padded = torch.tensor([[1, 2, 2], [3, IGNORED, IGNORED]])
    both, count = ctc_sum(logits, torch.tensor([8, 5]), padded, blank=VOCABULARY - 1)
    first, _ = ctc_sum(logits[:1], torch.tensor([8]), padded[:1], blank=VOCABULARY - 1)
    second, _ = ctc_sum(logits[1:, :5], torch.tensor([5]), padded[1:, :1], blank=VOCABULARY - 1)
    assert count == 4
    torch.testing.assert_close(both, first + second)


def test_ctc_of_one_token_in_one_position_is_its_cross_entropy() -> None:
    logits = random(1, 1, VOCABULARY, seed=1)
    total, _ = ctc_sum(logits, torch.tensor([1]), torch.tensor([[4]]), blank=0)
    torch.testing.assert_close(total, F.cross_entropy(logits[0], torch.tensor([4])))


def test_ctc_of_more_tokens_than_positions_is_nothing() -> None:
    logits = random(1, 2, VOCABULARY, seed=1)
    total, _ = ctc_sum(logits, torch.tensor([2]), torch.tensor([[1, 2, 3]]), blank=0)
    torch.autograd.backward(total)
    assert total.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_sampled_softmax_of_all_tokens_is_the_whole_one() -> None:
    wanted = targets(2, 6)
    student = random(2, 6, WIDTH, seed=1), random(VOCABULARY, WIDTH, seed=2)
    teacher = random(2, 6, 3, seed=3).detach(), random(VOCABULARY, 3, seed=4).detach()
    everything = sample_tokens(wanted[wanted != IGNORED], VOCABULARY, VOCABULARY)
    assert sorted(everything.ids_S.tolist()) == list(range(VOCABULARY))
    whole, sampled = (distillation_sums(student, teacher, wanted, TAU, s) for s in (None, everything))
    torch.testing.assert_close(sampled.ce, whole.ce)
    torch.testing.assert_close(sampled.kl, whole.kl)


@given(
    wanted=st.lists(st.integers(0, 39), min_size=1, max_size=30),
    num_sampled=st.integers(0, 60),
    seed=st.integers(0, 2**31),
)
def test_sampled_tokens_are_the_wanted_ones_and_as_many_others_as_stand_for_the_rest(
    wanted: list[int], num_sampled: int, seed: int
) -> None:
    torch.manual_seed(seed)
    sampled = sample_tokens(torch.tensor(wanted), num_sampled, 40)
    ids, rest = sampled.ids_S.tolist(), 40 - len(set(wanted))
    assert ids[: sampled.wanted] == sorted(set(wanted))
    assert len(ids) == len(set(ids)) == sampled.wanted + min(num_sampled, rest)
    assert sampled.ids_S[sampled.places(torch.tensor(wanted))].tolist() == wanted
    weights = sampled.log_weights_S.exp()
    assert weights[: sampled.wanted].tolist() == [1.0] * sampled.wanted
    assert float(weights.sum()) == pytest.approx(40 if num_sampled else sampled.wanted, rel=1e-5)


def test_the_denominator_of_a_sampled_softmax_is_right_on_average() -> None:
    logits_V = random(400, seed=1).detach()
    torch.manual_seed(3)
    sums = []
    for _ in range(2000):
        sampled = sample_tokens(torch.arange(5), 20, 400)
        sums.append((logits_V[sampled.ids_S] + sampled.log_weights_S).exp().sum())
    torch.testing.assert_close(torch.stack(sums).mean(), logits_V.exp().sum(), rtol=0.02, atol=0)
