"""CPU time until a student reaches a WER: `distil` beside Distil-Whisper's script.

    python -m tests.benchmarks.equal_wer                    a student of two decoder layers
    python -m tests.benchmarks.equal_wer --steps 100        longer

`distil` trains `--steps` steps, as in `make demo`, and its WER on clips that it did not learn from is the
mark. The script then trains the same student, with the step of `tests.benchmarks.training`, its frozen
encoder and `distil`'s peak learning rate (or `--script-rate`), until it is at the mark or has taken
`--times` the CPU time. Both learn from the same sample clips and their own texts, and each is evaluated
in the form that it was trained for: windows of 2 s and more, or of 30 s. Time is that of the process in
steps, all threads, without the evaluations: a ratio of it is one of wall time on an idle machine, and
other programs do not change it much.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from tests.benchmarks.training import (
    LAYERS,
    MODEL,
    SCRIPT_BATCH,
    STREAMING,
    script_batch,
    script_step,
)

from voxray.audio import WINDOW_S
from voxray.corpora.sources import load_clips
from voxray.corpora.store import Clip
from voxray.training.augment import AugmentOptions
from voxray.training.collate import LabelOptions
from voxray.training.evaluation import Evaluator
from voxray.training.loop import Loop
from voxray.training.loop_options import LoopOptions
from voxray.training.objective import Objective, ObjectiveOptions
from voxray.training.plan import PlanOptions
from voxray.whisper.checkpoint import load_model
from voxray.whisper.ctranslate import WINDOWS_S
from voxray.whisper.models import hf_folder
from voxray.whisper.student import make_student
from voxray.whisper.tokens import Tokens

LEARNING_RATE = 3e-4
WARM_UP = 10  # steps of the script, after which its rate stays
THREADS = 2


@dataclass(frozen=True, slots=True)
class Point:
    """A student after some steps."""

    steps: int
    clips: int
    cpu_s: float
    wer: float


def main() -> None:
    """Train both and print how they went."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--steps", type=int, default=60, help="of distil")
    arguments.add_argument("--times", type=float, default=6.0, help="distil's time that the script may take")
    arguments.add_argument("--every", type=int, default=20, help="steps of the script between evaluations")
    arguments.add_argument("--script-rate", type=float, default=LEARNING_RATE, help="its learning rate")
    options = arguments.parse_args()
    torch.set_num_threads(THREADS)
    train, dev = load_clips("builtin", "train")[0], load_clips("builtin", "test")[0]
    console = Console(width=110)
    ours = distil(train, dev, options.steps)
    console.print(f"distil: {ours}")
    script = list[Point]()
    for point in distil_whisper(train, dev, options.every, options.script_rate):
        script.append(point)
        console.print(f"script: {point}")
        if point.wer <= ours.wer or point.cpu_s > options.times * ours.cpu_s:
            break
    console.print(table(ours, script))


def distil(train: Sequence[Clip], dev: Sequence[Clip], steps: int) -> Point:
    """Train `distil`'s student for so many steps."""
    base = hf_folder(STREAMING)
    teacher = load_model(base)
    student = make_student(teacher, LAYERS)
    loop = Loop(
        Objective(
            student, ObjectiveOptions(ce_weight=0.2, freeze_embeddings=True), teacher, teacher_short=True
        ),
        train,
        [clip.duration_s for clip in train],
        Tokens.load(base),
        LoopOptions(
            max_steps=steps,
            learning_rate=LEARNING_RATE,
            plan=PlanOptions(batch_s=60.0, full_probability=0.0, cut_probability=0.3, speed_probability=0.3),
            labels=LabelOptions(timestamp_probability=0.1, previous_text_probability=0.0),
            augment=AugmentOptions(noise=0.3, gain_db=6.0),
        ),
    )
    began_s = time.process_time()
    loop.run(lambda _: False)
    cpu_s = time.process_time() - began_s
    return Point(steps, loop.samples, cpu_s, _wer(student, base, dev, WINDOWS_S[0]))


def distil_whisper(train: Sequence[Clip], dev: Sequence[Clip], every: int, rate: float) -> Iterator[Point]:
    """Train the script's student at `rate` on and on, and evaluate it every so many steps."""
    base = hf_folder(MODEL)
    teacher, tokens = load_model(base).eval(), Tokens.load(base)
    student = make_student(teacher, LAYERS).train()
    student.model.encoder.requires_grad_(False)
    optimiser = torch.optim.AdamW([p for p in student.parameters() if p.requires_grad], lr=rate)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimiser, 1 / WARM_UP, total_iters=WARM_UP)
    step = script_step(student, teacher, optimiser, shared=True)
    order, cpu_s = _shuffled(len(train)), 0.0
    for number in count(1):
        began_s = time.process_time()
        step(*script_batch([train[next(order)] for _ in range(SCRIPT_BATCH)], tokens))
        warm_up.step()
        cpu_s += time.process_time() - began_s
        if number % every == 0:
            yield Point(number, number * SCRIPT_BATCH, cpu_s, _wer(student, base, dev, WINDOW_S))


def _shuffled(size: int) -> Iterator[int]:
    random = np.random.default_rng(0)
    while True:
        yield from random.permutation(size).tolist()


def _wer(student: torch.nn.Module, base: Path, dev: Sequence[Clip], smallest_window_s: float) -> float:
    with tempfile.TemporaryDirectory(prefix="voxray-bench-") as folder:
        return Evaluator(dev, smallest_window_s, threads=THREADS)(student, base, Path(folder) / "model").wer


def table(ours: Point, script: Sequence[Point]) -> Table:
    """Return the rows of both, and the script's time as a multiple of distil's."""
    made = Table("trained by", "steps", "clips", "CPU s", "times", "WER, %")
    for name, point in [("distil", ours), *(("Distil-Whisper's script", p) for p in script)]:
        times = f"{point.cpu_s / ours.cpu_s:.1f}"
        made.add_row(
            name, str(point.steps), str(point.clips), f"{point.cpu_s:.0f}", times, f"{point.wer:.1f}"
        )
    return made


if __name__ == "__main__":
    main()
