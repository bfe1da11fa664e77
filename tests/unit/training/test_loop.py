import io
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from tests.unit.training.steps import train
from torch.nn.parallel import DistributedDataParallel

from voxray.corpora.store import Clip, write_store
from voxray.errors import TrainingError
from voxray.training.augment import AugmentOptions
from voxray.training.collate import Batch
from voxray.training.ema import EMA
from voxray.training.loop import Loop, parameter_groups
from voxray.training.loop_options import LoopOptions
from voxray.training.objective import ObjectiveOptions
from voxray.training.plan import PlanOptions
from voxray.training.run import RunOptions, build_loop
from voxray.whisper.checkpoint import load_model

Loops = Callable[..., Loop]

PLAIN = PlanOptions(batch_s=4.0, full_probability=0.0, cut_probability=0.0)

RANDOM = LoopOptions(  # chance wherever there can be any
    max_steps=8,
    learning_rate=1e-3,
    gradient_accumulation_steps=2,
    ema_decay=0.9,
    plan=PlanOptions(
        batch_s=3.0,
        full_probability=0.0,
        cut_probability=0.3,
        join_probability=0.3,
        no_speech_probability=0.3,
        speed_probability=0.5,
        seed=3,
    ),
    augment=AugmentOptions(noise=0.5, room=0.3, gain_db=6.0),
)
RANDOM_OBJECTIVE = ObjectiveOptions(freeze_encoder=False, ctc_weight=0.2, time_masks=1, frequency_masks=1)


def gradients(loop: Loop) -> dict[str, torch.Tensor]:
    return {k: p.grad.clone() for k, p in loop.objective.named_parameters() if p.grad is not None}


def test_the_loss_of_clips_that_are_repeated_falls(loops: Loops, clips: list[Clip]) -> None:
    options = LoopOptions(max_steps=30, learning_rate=3e-3, schedule="constant", plan=PLAIN)
    losses = train(loops(clips[:3], options), until=30)
    assert len(losses) == 30
    assert losses[-1] < 0.4 * losses[0]


@pytest.mark.parametrize("stop", [3, 4], ids=["within an epoch", "later"])
def test_a_resumed_run_has_the_same_losses_and_weights_bit_for_bit(
    loops: Loops, clips: list[Clip], tiny: Path, stop: int
) -> None:
    teacher = load_model(tiny)
    straight = loops(clips, RANDOM, teacher, objective=RANDOM_OBJECTIVE, dropout=0.1, layerdrop=0.4)
    losses = train(straight, until=8)

    first = loops(clips, RANDOM, teacher, objective=RANDOM_OBJECTIVE, dropout=0.1, layerdrop=0.4)
    before = train(first, until=stop)
    saved = io.BytesIO()
    torch.save(first.state(), saved)
    torch.manual_seed(99)  # another process would start with other chance
    second = loops(clips, RANDOM, teacher, objective=RANDOM_OBJECTIVE, dropout=0.1, layerdrop=0.4)
    second.restore(torch.load(io.BytesIO(saved.getvalue()), weights_only=True))
    assert second.learning_rate() == first.learning_rate()
    after = train(second, until=8)

    assert before + after == losses
    assert second.cursor == straight.cursor
    assert second.cursor.epoch >= 2
    assert second.samples == straight.samples
    assert_equal(second.objective.state_dict(), straight.objective.state_dict())
    assert second.ema is not None
    assert straight.ema is not None
    assert_equal(second.ema.weights, straight.ema.weights)


def test_a_resume_on_three_workers_goes_on_with_the_windows_of_one(loops: Loops, clips: list[Clip]) -> None:
    alone = loops(clips, RANDOM)
    train(alone, until=2)
    ranks = [loops(clips, RANDOM) for _ in range(3)]
    for rank, loop in enumerate(ranks):
        loop.restore(alone.state())
        loop.rank, loop.world = rank, len(ranks)
    expected = [windows_of(batch) for batch, _, _ in islice(alone._batches(), 6)]
    shared = zip(*(islice(loop._batches(), 6) for loop in ranks), strict=True)
    found = [sorted(w for batch, _, _ in made for w in windows_of(batch)) for made in shared]
    assert found == expected
    assert len({str(windows) for windows in expected}) == 6


def windows_of(batch: Batch) -> list[tuple[int, float]]:
    """The length and the sum of each window that counts."""
    rows = zip(batch.lengths_B.tolist(), batch.samples_BT, strict=True)
    return sorted((n, float(samples[:n].sum())) for n, samples in rows if n)


def assert_equal(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("lost", ["cursor", "step", "optimiser"])
def test_a_resume_that_lost_something_goes_on_with_other_losses(
    loops: Loops, clips: list[Clip], tiny: Path, lost: str
) -> None:
    teacher = load_model(tiny)
    first = loops(clips, RANDOM, teacher, objective=RANDOM_OBJECTIVE, dropout=0.1, layerdrop=0.4)
    train(first, until=3)
    saved = io.BytesIO()
    torch.save(first.state(), saved)
    rest = train(first, until=5)
    fresh = loops(clips, RANDOM, teacher, objective=RANDOM_OBJECTIVE, dropout=0.1, layerdrop=0.4)
    state = torch.load(io.BytesIO(saved.getvalue()), weights_only=True)
    state[lost] = fresh.state()[lost]
    fresh.restore(state)
    assert train(fresh, until=fresh.step + 2) != rest


def test_a_restored_average_is_a_copy_where_the_loop_keeps_it(
    loops: Loops, clips: list[Clip], tiny: Path
) -> None:
    first, second = (loops(clips, RANDOM, load_model(tiny)) for _ in range(2))
    train(first, until=1)
    assert second.ema is not None
    assert first.ema is not None
    held = second.ema.weights["proj_out.weight"]
    second.restore(first.state())
    assert second.ema.weights["proj_out.weight"] is held
    assert torch.equal(held, first.ema.weights["proj_out.weight"])
    train(first, until=2)
    assert not torch.equal(held, first.ema.weights["proj_out.weight"])


def test_two_accumulated_batches_have_the_gradient_of_both_at_once(loops: Loops, clips: list[Clip]) -> None:
    options = LoopOptions(max_grad_norm=1e9, plan=PlanOptions(batch_s=99.0, full_probability=0.0))
    halved = PlanOptions(batch_s=4.5, full_probability=0.0)
    once = loops(clips, options)
    twice = loops(clips, options.model_copy(update={"plan": halved, "gradient_accumulation_steps": 2}))
    a, b = train(once, until=1), train(twice, until=1)

    assert once.samples == twice.samples == len(clips)
    assert a == pytest.approx(b, rel=1e-5)
    for name, gradient in gradients(twice).items():
        torch.testing.assert_close(gradient, gradients(once)[name], rtol=1e-3, atol=1e-6)


def test_all_clips_are_used_once_in_an_epoch(loops: Loops, clips: list[Clip]) -> None:
    loop = loops(clips, LoopOptions(max_steps=99, plan=PLAIN))
    loop.run(lambda at: at.cursor.batch == 0 or at.samples >= len(clips))
    assert (loop.samples, loop.cursor.epoch) == (len(clips), 0)


def test_a_loss_that_is_no_number_ends_the_run_before_it_reaches_the_weights(
    loops: Loops, clips: list[Clip]
) -> None:
    loop = loops(clips, LoopOptions(plan=PLAIN))
    with torch.no_grad():
        loop.objective.student.model.decoder.layer_norm.bias[0] = float("nan")
    before = loop.objective.student.model.decoder.layers[0].fc1.weight.clone()
    with pytest.raises(TrainingError, match=r"step 0: the loss is nan; lower learning_rate\."):
        train(loop, until=1)
    assert torch.equal(loop.objective.student.model.decoder.layers[0].fc1.weight, before)


def test_a_run_ends_after_its_epochs_or_its_steps(loops: Loops, clips: list[Clip]) -> None:
    two = loops(clips, LoopOptions(max_epochs=2, plan=PLAIN, gradient_accumulation_steps=2))
    two.run(lambda at: False)
    batches = sum(len(two._plan(epoch)) for epoch in range(2))
    assert (two.step, two.max_steps) == (batches // 2, batches // 2)
    assert two.samples == two.total_samples
    assert loops(clips, LoopOptions(max_epochs=2, max_steps=1, plan=PLAIN)).max_steps == 1


def test_float16_scales_the_loss_and_a_resume_has_its_scale(loops: Loops, clips: list[Clip]) -> None:
    options = LoopOptions(max_steps=6, learning_rate=1e-3, precision="float16", plan=PLAIN)
    straight = loops(clips, options)
    losses = train(straight, until=6)
    plain = train(loops(clips, options.model_copy(update={"precision": "float32"})), until=6)
    assert losses == pytest.approx(plain, rel=0.05)
    assert losses != plain
    first, second = loops(clips, options), loops(clips, options)
    train(first, until=3)
    first.scaler.update(2.0**10)
    second.restore(first.state())
    assert second.scaler.get_scale() == 2.0**10


def test_frozen_weights_stay_as_they_were(loops: Loops, clips: list[Clip], tiny: Path) -> None:
    frozen = ObjectiveOptions(ce_weight=1.0, kl_weight=0.0, freeze_encoder=True)
    loop = loops(clips, LoopOptions(plan=PLAIN), objective=frozen)
    train(loop, until=2)
    started = load_model(tiny).model
    assert_equal(loop.objective.student.model.encoder.state_dict(), started.encoder.state_dict())
    assert not torch.equal(
        loop.objective.student.model.decoder.layers[0].fc1.weight, started.decoder.layers[0].fc1.weight
    )


def test_the_rate_follows_the_samples_up_and_down(loops: Loops, clips: list[Clip]) -> None:
    options = LoopOptions(max_steps=10, learning_rate=1e-3, warmup_ratio=0.3, plan=PLAIN)
    loop = loops(clips, options)
    rates: list[float] = []

    def after_step(at: Loop) -> bool:
        rates.append(at.optimiser.param_groups[0]["lr"])
        return False

    loop.run(after_step)
    peak = int(np.argmax(rates))
    assert len(rates) == loop.step == 10
    assert 0 < rates[0] < max(rates) <= 1e-3
    assert 1 <= peak <= 4
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert loop.samples == loop.total_samples
    assert loop.learning_rate() == 0.0


def test_norms_and_biases_do_not_decay() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2), torch.nn.Linear(2, 2))
    module[2].requires_grad_(False)
    decayed, kept = parameter_groups(module, 0.1)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert [p.shape for p in decayed["params"]] == [(2, 2)]
    assert len(kept["params"]) == 3


def test_an_average_moves_towards_the_weights_and_faster_at_first() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    average = EMA(model, decay=0.5)
    torch.nn.init.ones_(model.weight)
    seen = []
    for _ in range(12):
        average.update(model)
        seen.append(average.weights["weight"].item())
    assert seen[0] == pytest.approx(1 - 2 / 11)
    assert seen[11] == pytest.approx(1 - (1 - seen[10]) * 0.5)


def test_progress_is_of_the_steps_since_the_last(loops: Loops, clips: list[Clip]) -> None:
    loop = loops(clips[:3], LoopOptions(max_steps=3, plan=PLAIN))
    train(loop, until=1)
    loop.run(lambda at: at.step == 3)
    progress = loop.progress()
    assert (progress.step, progress.samples) == (3, loop.samples)
    assert progress.loss == pytest.approx(progress.ce, rel=0.05)
    assert progress.samples_per_s > 0
    assert progress.gradient_norm > 0
    assert loop.progress().samples_per_s == 0.0


def test_no_clips_and_clips_over_30_s_are_refused(loops: Loops) -> None:
    with pytest.raises(TrainingError, match="expected clips to train on"):
        loops([], LoopOptions())
    long = Clip("c", np.zeros(480_001, np.int16), "red")
    with pytest.raises(TrainingError, match=r"expected clips of at most 30 s, got one of 30\.0001 s"):
        loops([long], LoopOptions())


def test_a_clip_of_exactly_30_s_is_trained_on(loops: Loops) -> None:
    [loss] = train(loops([Clip("c", np.zeros(480_000, np.int16), "red")], LoopOptions()), until=1)
    assert loss > 0


def test_a_clip_that_cannot_be_labelled_ends_the_run_with_its_own_error(
    loops: Loops, clips: list[Clip]
) -> None:
    foreign = Clip("c", clips[0].pcm, "red", language="xx")
    with pytest.raises(ValueError, match="language 'xx'"):
        train(loops([foreign], LoopOptions()), until=1)


SECOND_RANK = """
import sys
import torch
from torch.nn.parallel import DistributedDataParallel
from voxray.training.run import RunOptions, build_loop
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method=sys.argv[1], rank=1, world_size=2)
wrap = lambda objective: DistributedDataParallel(objective, find_unused_parameters=True)
loop = build_loop(RunOptions.model_validate_json(sys.argv[2]), torch.device("cpu"), wrap)
loop.run(lambda at: False)
torch.distributed.destroy_process_group()
"""


def test_two_ranks_have_the_gradient_of_one_even_where_one_of_them_has_no_window(
    tiny: Path, clips: list[Clip], tmp_path: Path
) -> None:
    options = _ranked(tiny, clips, tmp_path)
    alone = build_loop(options, torch.device("cpu"))
    expected = train(alone, until=1)

    place = f"file://{tmp_path / 'meeting'}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", SECOND_RANK, place, options.model_dump_json()]
    with subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True) as second:
        dist.init_process_group("gloo", init_method=place, rank=0, world_size=2)
        try:
            both = build_loop(options, torch.device("cpu"), _distributed)
            found = train(both, until=1)
        finally:
            dist.destroy_process_group()
        _, output = second.communicate(timeout=60)
    assert second.returncode == 0, output

    assert both.samples == alone.samples == 4
    assert found[0] > 0
    assert expected[0] > 0
    ours = gradients(both)
    for name, gradient in gradients(alone).items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=1e-6)


def _distributed(objective: Any) -> Any:
    return DistributedDataParallel(objective, find_unused_parameters=True)


def _ranked(tiny: Path, clips: list[Clip], folder: Path) -> RunOptions:
    """One step of two batches: one of three short clips, one of a single clip of 1.5 s."""
    write_store(folder / "clips", [clips[0], clips[1], clips[2], clips[5]])
    plan = PlanOptions(batch_s=1.5, full_probability=0.0, bucket_probability=1.0, cut_probability=0.0)
    loop = LoopOptions(
        max_steps=1,
        gradient_accumulation_steps=2,
        max_grad_norm=1e9,  # clipped, gradients of any size would be alike
        plan=plan,
    )
    return RunOptions(
        out=folder,
        start=tiny,
        teacher=tiny,
        train=(folder / "clips",),
        loop=loop,
        objective=ObjectiveOptions(freeze_encoder=False),
    )
