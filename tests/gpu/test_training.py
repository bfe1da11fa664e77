"""Training steps on a CUDA device beside the same on a CPU, on real Whisper."""

from pathlib import Path

import pytest
import torch
from tests.gpu.tiny import NEEDS_TINY
from tests.unit.training.steps import train

from voxray.corpora.sources import load_clips
from voxray.training.frozen_states import FrozenStatesCache
from voxray.training.loop import Loop
from voxray.training.loop_options import LoopOptions
from voxray.training.objective import Objective, ObjectiveOptions
from voxray.training.plan import PlanOptions
from voxray.whisper.checkpoint import load_model
from voxray.whisper.models import hf_folder
from voxray.whisper.student import make_student
from voxray.whisper.tokens import Tokens

pytestmark = [pytest.mark.gpu, NEEDS_TINY]

OPTIONS = LoopOptions(
    max_steps=30,
    learning_rate=3e-4,
    schedule="constant",
    warmup_ratio=0.0,
    plan=PlanOptions(batch_s=30.0, full_probability=0.0),
)


def loop_on(device: str, options: LoopOptions = OPTIONS, cache: Path | None = None) -> Loop:
    """A student of two decoder layers and its teacher, on the sample clips."""
    torch.manual_seed(0)
    base = hf_folder("tiny.en")
    teacher = load_model(base).to(device)
    objective = Objective(
        make_student(teacher, 2),
        ObjectiveOptions(),
        teacher,
        teacher_short=True,
        cache=FrozenStatesCache(cache) if cache else None,
    ).to(device)
    clips = load_clips("builtin", "train")[0][:32]
    return Loop(
        objective,
        clips,
        [clip.duration_s for clip in clips],
        Tokens.load(base),
        options,
        device=torch.device(device),
        distinct_epochs=1 if cache else 0,
    )


@pytest.fixture(scope="module")
def on_cpu() -> list[float]:
    return train(loop_on("cpu"), until=3)


@pytest.mark.parametrize(
    ("precision", "tolerance", "steps"),
    [("float32", 0.005, 3), ("auto", 0.03, 3), ("float16", 0.03, 1)],
)
def test_the_losses_on_a_gpu_are_those_on_a_cpu(
    on_cpu: list[float], precision: str, tolerance: float, steps: int
) -> None:
    """In float16 only the first is: torch's GradScaler skips steps until its scale fits."""
    options = OPTIONS.model_copy(update={"precision": precision})
    assert train(loop_on("cuda", options), until=steps) == pytest.approx(on_cpu[:steps], rel=tolerance)


def test_the_loss_falls_and_weights_stay_float32() -> None:
    loop = loop_on("cuda")
    losses = train(loop, until=30)

    assert min(losses[-5:]) < 0.6 * losses[0]
    assert {p.dtype for p in loop.objective.parameters()} == {torch.float32}
    assert all(p.is_cuda for p in loop.objective.parameters())


def test_states_from_the_cache_have_the_losses_of_those_that_are_made_anew(tmp_path: Path) -> None:
    cached, fresh = loop_on("cuda", cache=tmp_path), loop_on("cuda")
    per_epoch = len(cached._plan(0))
    losses = train(cached, until=per_epoch)

    assert losses == pytest.approx(train(fresh, until=per_epoch), rel=0.02)
    assert train(cached, until=per_epoch + 2)[-1] < losses[0]


def test_a_resumed_run_goes_on_with_about_the_same_losses() -> None:
    straight, first, second = (loop_on("cuda") for _ in range(3))
    losses = train(straight, until=6)
    train(first, until=3)
    second.restore(first.state())

    assert train(second, until=6) == pytest.approx(losses[3:], rel=0.02)
