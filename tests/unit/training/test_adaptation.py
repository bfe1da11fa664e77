"""A student comes nearer to a cached teacher, learns silence as silence, and its run goes on exactly."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from voxray.audio import to_float
from voxray.corpora.store import Clip
from voxray.training.adaptation import (
    CachedBatch,
    CachedLoop,
    CachedObjective,
    DistanceOptions,
    Part,
    with_states,
)
from voxray.training.augment import AugmentOptions
from voxray.training.collate import Example, collate
from voxray.training.loop import Loop
from voxray.training.loop_options import LoopOptions
from voxray.training.lora import add_lora
from voxray.training.lora_options import LoraOptions
from voxray.training.plan import PlanOptions
from voxray.training.rendering import RenderedWindows, plan_windows
from voxray.training.teacher_cache import Target, TeacherCache, write_shard
from voxray.transcript import Segment
from voxray.whisper.checkpoint import load_model
from voxray.whisper.encoder import decode_states, encode
from voxray.whisper.features import log_mel
from voxray.whisper.labels import label, no_speech_label
from voxray.whisper.tokens import Tokens

PLAIN = PlanOptions(batch_s=6.0, cut_probability=0.0, full_probability=0.0, bucket_probability=1.0)
OPTIONS = LoopOptions(max_steps=6, learning_rate=1e-2, plan=PLAIN)

MakeLoop = Callable[..., CachedLoop]


def _student(tiny: Path, part: Part = "lora") -> Any:
    torch.manual_seed(0)
    model = load_model(tiny)
    return add_lora(model, LoraOptions(rank=2, alpha=4.0)) if part == "lora" else model


@pytest.fixture(scope="session")
def targets(tiny: Path, tokens: Tokens, clips: list[Clip]) -> list[Target]:
    """The tiny model's own states on 30 s for each clip's text, and none for the last clip: silence."""
    teacher = load_model(tiny).eval()
    found = [_target(teacher, tokens, clip) for clip in clips[:-1]]
    return [*found, Target(no_speech_label(tokens, named=False), np.zeros((0, 32), np.float16))]


def _target(teacher: Any, tokens: Tokens, clip: Clip) -> Target:
    target = label(tokens, [Segment(0.0, clip.duration_s, clip.text)])
    assert target
    samples = torch.zeros(1, 480_000)
    samples[0, : len(clip.pcm)] = torch.from_numpy(to_float(clip.pcm))
    with torch.no_grad():
        states_BTD = encode(teacher.model.encoder, log_mel(samples, 80))
        hidden_BLD = decode_states(teacher.model.decoder, torch.tensor([target.inputs]), states_BTD)
    return Target(target, hidden_BLD[0].half().numpy())


@pytest.fixture
def make_loop(
    tiny: Path, tokens: Tokens, clips: list[Clip], targets: list[Target], tmp_path: Path
) -> MakeLoop:
    """Makes a loop over one window a clip, each time with the same student."""

    def make(part: Part = "lora", chosen: Sequence[Target] = targets, **more: float) -> CachedLoop:
        plans = plan_windows([c.duration_s for c in clips], PLAIN, 1)
        write_shard(tmp_path / "00000.safetensors", [chosen[w.clips[0]] for w in plans])
        windows = RenderedWindows(clips, plans, AugmentOptions())
        objective = CachedObjective(_student(tiny, part), part, DistanceOptions())
        cache = TeacherCache(tmp_path, len(clips))
        return CachedLoop(objective, windows, cache, tokens, OPTIONS, **more)  # type: ignore[arg-type]  # no device

    return make


def _batch(targets: Sequence[Target], clips: Sequence[Clip], tokens: Tokens) -> Any:
    examples = [
        Example(to_float(c.pcm), t.label, (), False) for c, t in zip(clips, targets, strict=True) if t.label
    ]
    return with_states(collate(examples, tokens.end), targets)


def _with_the_students_states(
    objective: CachedObjective, targets: Sequence[Target], clips: Sequence[Clip], tokens: Tokens
) -> CachedBatch:
    """Return a batch whose teacher has the states that the student has on the same short window."""
    batch: CachedBatch = _batch(targets, clips, tokens)
    with torch.no_grad():
        states_BTD = encode(objective.student.model.encoder, log_mel(batch.samples_BT, 80))
        own_BLD = decode_states(objective.student.model.decoder, batch.inputs_BL, states_BTD)
    return replace(batch, teacher_BLD=own_BLD)


def test_a_teacher_with_the_students_states_leaves_no_distance(
    tiny: Path, tokens: Tokens, clips: list[Clip], targets: list[Target]
) -> None:
    objective = CachedObjective(_student(tiny), "lora", DistanceOptions()).eval()
    batch = _batch(targets[:2], clips[:2], tokens)

    with torch.no_grad():
        near = objective(_with_the_students_states(objective, targets[:2], clips[:2], tokens))
        far = objective(batch)

    assert float(near.decoder.kl) == pytest.approx(0.0, abs=1e-3)
    assert float(near.mse) == pytest.approx(0.0, abs=1e-3)
    assert float(far.decoder.kl) > 0.0
    assert float(far.mse) > 0.0
    assert float(far.decoder.ce) == 0.0


def test_the_first_token_is_learned_from_a_teacher_that_may_not_end_there(
    tiny: Path, tokens: Tokens, clips: list[Clip], targets: list[Target]
) -> None:
    student = _student(tiny)
    student.generation_config.begin_suppress_tokens = [tokens.end]
    objective = CachedObjective(student, "lora", DistanceOptions()).eval()
    batch = _with_the_students_states(objective, targets[:2], clips[:2], tokens)
    first_BL = batch.inputs_BL == tokens.no_timestamps
    p_end = (batch.teacher_BLD[first_BL] @ objective.projection.T).softmax(-1)[:, tokens.end]

    with torch.no_grad():
        sums = objective(batch)

    # The KL from a distribution without an event of probability p to the one with it is -log(1 - p).
    assert float(sums.decoder.kl) == pytest.approx(float(-(1 - p_end).log().sum()), rel=1e-2)
    assert sums.decoder.positions == batch.positions


def test_the_distance_of_states_is_relative_to_the_teachers(
    tiny: Path, tokens: Tokens, clips: list[Clip], targets: list[Target]
) -> None:
    objective = CachedObjective(_student(tiny), "lora", DistanceOptions()).eval()
    batch = _with_the_students_states(objective, targets[:1], clips[:1], tokens)
    doubled = replace(batch, teacher_BLD=2 * batch.teacher_BLD)

    with torch.no_grad():
        sums = objective(doubled)

    learned = batch.positions - 1  # no distance at the first token, whose distribution is another
    assert float(sums.mse) == pytest.approx(learned / 4, rel=1e-2)


def test_silence_is_learned_by_its_label_alone(
    tiny: Path, tokens: Tokens, clips: list[Clip], targets: list[Target]
) -> None:
    objective = CachedObjective(_student(tiny), "lora", DistanceOptions())

    with torch.no_grad():
        sums = objective(_batch(targets[-1:], clips[-1:], tokens))

    assert float(sums.decoder.ce) > 0.0
    assert float(sums.decoder.kl) == float(sums.mse) == 0.0


@pytest.mark.parametrize(
    ("part", "moves", "stays"),
    [
        ("lora", "lora_A", "base_layer"),
        ("encoder", "encoder.layers", "decoder"),
        ("all", "decoder.layers", "encoder.embed_positions"),
    ],
)
def test_only_the_part_that_is_named_moves(make_loop: MakeLoop, part: Part, moves: str, stays: str) -> None:
    loop = make_loop(part)
    before = {name: p.detach().clone() for name, p in loop.objective.student.named_parameters()}

    loop.run(lambda _: False)

    after = dict(loop.objective.student.named_parameters())
    changed = {name for name, p in after.items() if not torch.equal(p, before[name])}
    assert any(moves in name for name in changed)
    assert not any(stays in name for name in changed)


def test_training_brings_the_student_nearer(make_loop: MakeLoop) -> None:
    losses: list[float] = []

    def log(loop: Loop) -> bool:
        losses.append(loop.progress().loss)
        return False

    make_loop().run(log)

    assert losses[-1] < losses[0]


def test_a_resumed_run_ends_with_the_same_weights(make_loop: MakeLoop) -> None:
    whole, first, second = make_loop(), make_loop(), make_loop()
    whole.run(lambda _: False)
    first.run(lambda loop: loop.step == 3)

    second.restore(first.state())
    second.run(lambda _: False)

    ours, theirs = whole.objective.state_dict(), second.objective.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_windows_of_which_nothing_is_learned_are_left_out(
    make_loop: MakeLoop, targets: list[Target], clips: list[Clip]
) -> None:
    in_a_loop = Target(None, np.zeros((0, 32), np.float16))

    assert len(make_loop(chosen=[in_a_loop, *targets[1:]]).rows) == len(clips) - 1


def test_windows_longer_than_the_longest_are_left_out(make_loop: MakeLoop, clips: list[Clip]) -> None:
    longest_s = max(clip.duration_s for clip in clips)
    kept = [clip for clip in clips if clip.duration_s < longest_s]

    loop = make_loop(longest_window_s=longest_s - 0.001)

    assert 0 < len(loop.rows) == len(kept) < len(clips)


def test_timing_a_step_changes_nothing(make_loop: MakeLoop) -> None:
    loop = make_loop()
    before = {name: value.clone() for name, value in loop.objective.state_dict().items()}

    assert loop.seconds_per_step() > 0.0

    assert all(torch.equal(value, before[name]) for name, value in loop.objective.state_dict().items())
    assert all(p.grad is None for p in loop.objective.parameters())
