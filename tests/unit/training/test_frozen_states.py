import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.training.steps import train

from voxray.corpora.store import Clip
from voxray.errors import TrainingError
from voxray.training.frozen_states import FrozenStates, FrozenStatesCache
from voxray.training.loop import Loop
from voxray.training.loop_options import LoopOptions
from voxray.training.objective import ObjectiveOptions
from voxray.training.plan import PlanOptions
from voxray.whisper.checkpoint import load_model

Loops = Callable[..., Loop]
CPU = torch.device("cpu")
PLAN = PlanOptions(batch_s=4.0, cut_probability=0.5, speed_probability=0.5, full_probability=0.0)
OPTIONS = LoopOptions(max_steps=8, learning_rate=1e-3, plan=PLAN)
DISTINCT = 1  # epochs


def cached(loop: Loop, folder: Path) -> Loop:
    """`loop` with epochs that repeat the first, and what is frozen of them in `folder`."""
    loop.distinct_epochs = DISTINCT
    loop.objective.cache = FrozenStatesCache(folder)
    return loop


def decoder_calls(teacher: Any) -> list[int]:
    """Grows with each batch that the teacher's decoder sees."""
    calls: list[int] = []
    teacher.model.decoder.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


def test_states_come_back_as_they_were_put(tmp_path: Path) -> None:
    cache = FrozenStatesCache(tmp_path / "cache")
    expected_K = torch.tensor([2, 7])
    states = FrozenStates(torch.randn(2, 5, 4).transpose(1, 2), torch.randn(2, 3, 4), expected_K)
    put = cache.put("a", states)
    got = cache.get("a", CPU)
    assert got is not None
    assert states.encoder_BTD is not None
    for one, other in ((got.encoder_BTD, put.encoder_BTD), (got.teacher_BLD, put.teacher_BLD)):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)
    assert got.expected_K is not None
    assert torch.equal(got.expected_K, expected_K)
    assert got.encoder_BTD is not None
    torch.testing.assert_close(got.encoder_BTD, states.encoder_BTD, rtol=1e-3, atol=1e-3)
    assert cache.get("b", CPU) is None
    cache.put("b", FrozenStates(None, states.teacher_BLD))
    assert (kept := cache.get("b", CPU)) is not None
    assert kept.encoder_BTD is None


@pytest.mark.parametrize("freeze_encoder", [True, False])
def test_a_batch_that_comes_again_is_not_given_to_the_teacher(
    loops: Loops, clips: list[Clip], tiny: Path, tmp_path: Path, freeze_encoder: bool
) -> None:
    teacher, objective = load_model(tiny), ObjectiveOptions(freeze_encoder=freeze_encoder)
    calls = decoder_calls(teacher)
    loop = cached(loops(clips, OPTIONS, teacher, objective=objective), tmp_path / "cache")
    found = train(loop, until=8)
    batches = len(loop._plan(0))
    assert 1 < batches < 4
    assert len(calls) == len(list((tmp_path / "cache").iterdir())) == batches
    plain = loops(clips, OPTIONS, load_model(tiny), objective=objective)
    plain.distinct_epochs = DISTINCT
    assert found == pytest.approx(train(plain, until=8), rel=2e-3)


@pytest.mark.parametrize("num_sampled", [0, 50], ids=["whole vocabulary", "sampled softmax"])
def test_a_resumed_run_has_the_same_losses_from_the_cache_as_without_it(
    loops: Loops, clips: list[Clip], tiny: Path, tmp_path: Path, num_sampled: int
) -> None:
    objective = ObjectiveOptions(num_sampled=num_sampled)

    def fresh(name: str) -> Loop:
        return cached(loops(clips, OPTIONS, load_model(tiny), objective=objective), tmp_path / name)

    straight = train(fresh("a"), until=8)
    first = fresh("b")
    train(first, until=5)
    saved = io.BytesIO()
    torch.save(first.state(), saved)
    for name in ("b", "another"):
        again = fresh(name)
        again.restore(torch.load(io.BytesIO(saved.getvalue()), weights_only=True))
        assert train(again, until=8) == straight[5:]


def test_steps_with_a_sampled_softmax_go_the_way_of_those_with_the_whole(
    loops: Loops, clips: list[Clip], tiny: Path
) -> None:
    """The teacher's most probable tokens and the labels are in each sample: little is left to chance."""
    whole, sampled = (
        train(loops(clips, OPTIONS, load_model(tiny), objective=ObjectiveOptions(num_sampled=n)), until=8)
        for n in (0, 100)
    )
    assert sampled != whole
    assert sampled == pytest.approx(whole, rel=0.1)


def test_later_epochs_have_the_same_batches_in_another_order(loops: Loops, clips: list[Clip]) -> None:
    loop = loops(clips, LoopOptions(plan=PlanOptions(batch_s=2.0, full_probability=0.0)))
    loop.distinct_epochs = 2
    plans = [loop._plan(epoch) for epoch in range(6)]
    assert plans[0] != plans[1]
    for epoch in (2, 4):
        assert sorted(map(repr, plans[epoch])) == sorted(map(repr, plans[0]))
        assert sorted(map(repr, plans[epoch + 1])) == sorted(map(repr, plans[1]))
    assert any(plans[epoch] != plans[epoch % 2] for epoch in range(2, 6))


def test_a_damaged_file_and_a_full_disk_are_told_in_a_sentence(tmp_path: Path) -> None:
    cache = FrozenStatesCache(tmp_path / "cache")
    (tmp_path / "cache" / "a.safetensors").write_bytes(b"no")
    with pytest.raises(TrainingError, match=r"a\.safetensors: expected states of a batch.*delete it"):
        cache.get("a", CPU)
    (tmp_path / "cache" / "a.safetensors").unlink()
    (tmp_path / "cache").rmdir()
    with pytest.raises(TrainingError, match="cannot be kept: No such file or directory; make room"):
        cache.put("b", FrozenStates(torch.zeros(1, 1, 1), None))
