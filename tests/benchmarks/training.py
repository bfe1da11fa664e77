"""Clips per second of training steps on the sample clips, beside those of Distil-Whisper's script.

    make bench-train                         of tiny.en
    make bench-train BENCH="--steps 20"      longer

The steps: `adapt` against cached targets, `finetune` of the encoder, `distil` of two decoder layers without
and with its cache, and one written as in huggingface/distil-whisper's run_distillation.py: windows of 30 s,
labels padded to 128 tokens (its default), a teacher's forward in each step, CE + KL; with --freeze_encoder,
as it recommends, one pass of the encoder feeds teacher and student. All take the same clips; where there is
a CUDA device they run there, in bfloat16.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from voxray.audio import WINDOW_S, WINDOW_SAMPLES, to_float
from voxray.corpora.sources import load_clips
from voxray.corpora.store import Clip
from voxray.recipes.adapt import AdaptConfig
from voxray.training.adaptation import CachedLoop, CachedObjective, DistanceOptions
from voxray.training.frozen_states import FrozenStatesCache
from voxray.training.loop import Loop
from voxray.training.loop_options import LoopOptions
from voxray.training.lora import add_lora
from voxray.training.lora_options import LoraOptions
from voxray.training.objective import Objective, ObjectiveOptions
from voxray.training.plan import PlanOptions, plan_epoch
from voxray.training.rendering import RenderedWindows, plan_windows
from voxray.training.teacher_cache import Teacher, fill
from voxray.transcript import Segment
from voxray.whisper.checkpoint import load_model
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.features import log_mel
from voxray.whisper.labels import IGNORED, label
from voxray.whisper.models import ctranslate2_folder, hf_folder
from voxray.whisper.student import make_student
from voxray.whisper.tokens import Tokens

MODEL = "tiny.en@stock"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
STREAMING = "tiny.en"  # it passes windows of 2 s, so that its encoder can stay as it is
LAYERS = 2  # of a student's decoder
BATCH_S = 40.0
SCRIPT_BATCH = 8  # clips
SCRIPT_LABEL = 128  # tokens
SCRIPT_TEMPERATURE = 2.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What was done, and the clips and seconds that it took."""

    name: str
    clips: int
    seconds: float


def main() -> None:
    """Measure all of them and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument(
        "--steps", type=int, default=10, help="steps of each, after one that is not counted"
    )
    arguments.add_argument("--clips", type=int, default=64, help="sample clips to learn from")
    arguments.add_argument(
        "--batch-s",
        type=float,
        help="seconds of audio in a batch, and the script has as many clips; default: the jobs' own, 8 clips",
    )
    arguments.add_argument("--threads", type=int, default=0, help="threads of torch; 0: its own choice")
    options = arguments.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    clips = load_clips("builtin", "train")[0][: options.clips]
    with tempfile.TemporaryDirectory(prefix="voxray-bench-") as folder:
        measured = [
            *adapt(clips, options.steps, options.batch_s, Path(folder) / "adapt"),
            finetune(clips, options.steps, options.batch_s),
            *distil(clips, options.steps, options.batch_s, Path(folder) / "distil"),
            distil_whisper(clips, options.steps, options.batch_s, freeze_encoder=True),
            distil_whisper(clips, options.steps, options.batch_s, freeze_encoder=False),
        ]
    report(measured, clips)


def adapt(clips: Sequence[Clip], steps: int, batch_s: float | None, folder: Path) -> list[Measured]:
    """Return how fast a teacher's targets are cached, and how fast a student learns from them."""
    base = hf_folder(MODEL)
    compute_type = "default" if DEVICE.type == "cuda" else "float32"
    engine = CTranslate2Engine(ctranslate2_folder(MODEL, "float16"), compute_type=compute_type)
    engine.min_window_s = WINDOW_S
    config = AdaptConfig(corpus=("builtin",), out=folder, batch_s=batch_s or BATCH_S)
    windows = RenderedWindows(
        clips, plan_windows([c.duration_s for c in clips], config.windows, 1), config.augment
    )
    started = time.perf_counter()
    cache = fill(folder, windows, [True] * len(windows), lambda: Teacher(engine, load_model(base)))
    cached = Measured(
        "adapt: caching the teacher's targets, once", len(windows), time.perf_counter() - started
    )
    student = add_lora(load_model(base), LoraOptions())
    objective = CachedObjective(student, "lora", DistanceOptions()).to(DEVICE)
    loop = CachedLoop(objective, windows, cache, Tokens.load(base), config.loop(steps + 1), device=DEVICE)
    return [cached, _loop("adapt: LoRA against the cache", loop)]


def finetune(clips: Sequence[Clip], steps: int, batch_s: float | None) -> Measured:
    """Return how fast the encoder is fine-tuned on texts, as `finetune.py` does by default."""
    base = hf_folder(MODEL)
    objective = Objective(
        load_model(base),
        ObjectiveOptions(ce_weight=1.0, kl_weight=0.0, freeze_encoder=False, freeze_decoder=True),
    ).to(DEVICE)
    plan = PlanOptions(batch_s=batch_s or BATCH_S, full_probability=0.0)
    options = LoopOptions(max_steps=steps + 1, plan=plan)
    durations_s = [clip.duration_s for clip in clips]
    loop = Loop(objective, clips, durations_s, Tokens.load(base), options, device=DEVICE)
    return _loop("finetune: the encoder", loop)


def distil(clips: Sequence[Clip], steps: int, batch_s: float | None, folder: Path) -> list[Measured]:
    """Return how fast a student of LAYERS decoder layers learns in a first epoch, and in its repetitions."""
    ways = {
        "distil: two decoder layers": ObjectiveOptions(),
        "distil: embeddings frozen, softmax sampled": ObjectiveOptions(
            freeze_embeddings=True, num_sampled=2000
        ),
    }
    measured = []
    for number, (name, objective) in enumerate(ways.items()):
        loop, once = _distil_loop(clips, steps, batch_s, folder / str(number), objective)
        measured += [_loop(name, loop, once), _loop(f"{name}, from its cache", loop, loop.max_steps)]
    return measured


def _distil_loop(
    clips: Sequence[Clip], steps: int, batch_s: float | None, folder: Path, objective: ObjectiveOptions
) -> tuple[Loop, int]:
    """Return the loop of a student, and the step at which its batches come again."""
    base = hf_folder(STREAMING)
    teacher = load_model(base).to(DEVICE)
    module = Objective(
        make_student(teacher, LAYERS),
        objective,
        teacher,
        teacher_short=True,
        cache=FrozenStatesCache(folder),
    ).to(DEVICE)
    durations_s = [clip.duration_s for clip in clips]
    plan = PlanOptions(batch_s=batch_s) if batch_s else PlanOptions()
    once = len(plan_epoch(durations_s, plan, 0))
    options = LoopOptions(max_steps=once + 1 + steps, plan=plan)
    loop = Loop(module, clips, durations_s, Tokens.load(base), options, distinct_epochs=1, device=DEVICE)
    return loop, once


def _loop(name: str, loop: Loop, until: int = 0) -> Measured:
    """Run `loop` until step `until`, or to its end; its first step from here is not counted."""
    begin, started, before = loop.step, time.perf_counter(), 0

    def after_step(done: Loop) -> bool:
        nonlocal started, before
        if done.step == begin + 1:
            _finish()
            started, before = time.perf_counter(), done.samples
        return done.step == until

    loop.run(after_step)
    _finish()
    return Measured(name, loop.samples - before, time.perf_counter() - started)


def _finish() -> None:
    """Wait for what the device has not done yet."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def distil_whisper(
    clips: Sequence[Clip], steps: int, batch_s: float | None, *, freeze_encoder: bool
) -> Measured:
    """Return how fast a student learns from a teacher by a step of Distil-Whisper's script."""
    base = hf_folder(MODEL)
    teacher, tokens = load_model(base).eval().to(DEVICE), Tokens.load(base)
    student = make_student(teacher, LAYERS).train()
    student.model.encoder.requires_grad_(not freeze_encoder)
    optimiser = torch.optim.AdamW([p for p in student.parameters() if p.requires_grad], lr=1e-4)
    step = script_step(student, teacher, optimiser, shared=freeze_encoder)
    mean_s = sum(clip.duration_s for clip in clips) / len(clips)
    size = round(batch_s / mean_s) if batch_s else SCRIPT_BATCH
    made = [
        script_batch([clips[k % len(clips)] for k in range(i * size, (i + 1) * size)], tokens)
        for i in range(steps + 1)
    ]
    step(*made[0])
    _finish()
    started = time.perf_counter()
    for batch in made[1:]:
        step(*batch)
    _finish()
    seconds = time.perf_counter() - started
    name = "Distil-Whisper's script" + (", --freeze_encoder" if freeze_encoder else "")
    return Measured(name, steps * size, seconds)


def script_batch(clips: Sequence[Clip], tokens: Tokens) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return samples padded to 30 s, decoder inputs and targets padded to SCRIPT_LABEL."""
    samples_BT = torch.zeros(len(clips), WINDOW_SAMPLES)
    inputs_BL = torch.full((len(clips), SCRIPT_LABEL), tokens.end)
    targets_BL = torch.full((len(clips), SCRIPT_LABEL), IGNORED)
    for row, clip in enumerate(clips):
        samples_BT[row, : len(clip.pcm)] = torch.from_numpy(to_float(clip.pcm))
        target = label(tokens, [Segment(0.0, clip.duration_s, clip.text)])
        assert target
        inputs_BL[row, : len(target.inputs)] = torch.tensor(target.inputs)
        targets_BL[row, : len(target.targets)] = torch.tensor(target.targets)
    return samples_BT, inputs_BL, targets_BL


def script_step(
    student: Any, teacher: Any, optimiser: torch.optim.Optimizer, *, shared: bool
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]:
    """Return a step of the script on a batch of `script_batch`; `shared`: one encoder feeds both decoders."""

    def step(*batch: torch.Tensor) -> None:
        samples_BT, inputs_BL, targets_BL = (tensor.to(DEVICE, non_blocking=True) for tensor in batch)
        features = log_mel(samples_BT, student.config.num_mel_bins)
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=DEVICE.type == "cuda"):
            with torch.no_grad():
                encoded = teacher.model.encoder(features)
                teacher_BLV = teacher(encoder_outputs=encoded, decoder_input_ids=inputs_BL).logits
            heard = {"encoder_outputs": encoded} if shared else {"input_features": features}
            logits_BLV = student(**heard, decoder_input_ids=inputs_BL).logits
        ce = F.cross_entropy(logits_BLV.flatten(0, 1), targets_BL.flatten(), ignore_index=IGNORED)
        soft_BLV = F.softmax(teacher_BLV / SCRIPT_TEMPERATURE, dim=-1)
        log_p_BLV = F.log_softmax(logits_BLV / SCRIPT_TEMPERATURE, dim=-1)
        kl_BLV = F.kl_div(log_p_BLV, soft_BLV, reduction="none") * SCRIPT_TEMPERATURE**2
        wanted_BL1 = (targets_BL != IGNORED).unsqueeze(-1)
        loss = 0.8 * ce + (kl_BLV * wanted_BL1).sum() / wanted_BL1.sum()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return step


def report(measured: Sequence[Measured], clips: Sequence[Clip]) -> None:
    """Print clips per second, and how many times that of the last row it is."""
    mean_s = sum(clip.duration_s for clip in clips) / len(clips)
    table = Table(
        "step", "clips/s", "times the script's", title=f"{MODEL}, clips of {mean_s:.1f} s in the mean"
    )
    slowest = measured[-1].clips / measured[-1].seconds
    for row in measured:
        rate = row.clips / row.seconds
        table.add_row(row.name, f"{rate:.2f}", f"{rate / slowest:.1f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
