"""The training of an adaptation: how long it takes, its checkpoints, and the model that comes out of it."""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from voxray.audio import WINDOW_S
from voxray.config import Config
from voxray.scoring.windows import WindowEvaluator
from voxray.training.adaptation import CachedLoop, CachedObjective, DistanceOptions, Part
from voxray.training.loop import Loop, LoopOptions
from voxray.training.lora import LoraOptions, add_lora, base_digest, merged_state, save_adapter
from voxray.training.plan import PlanOptions
from voxray.training.rendering import RenderedWindows
from voxray.training.teacher_cache import TeacherCache
from voxray.whisper.checkpoint import load_model, save_model
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.export import convert
from voxray.whisper.tokens import Tokens

BUCKETED = 0.25  # of the batches are padded to a serving window; half of a window would be silence else
REPORT_EVERY = 20  # steps
SAVE_EVERY_S = 60.0


class TrainingOptions(Config):
    """How an adaptation is trained, and what it must reach."""

    train: Part = "lora"
    """What moves: low-rank adapters of encoder and decoder, the encoder, or all of the model."""
    lora: LoraOptions = LoraOptions()
    """The adapter, if that is what is trained."""
    distance: DistanceOptions = DistanceOptions()
    """The loss against the teacher."""
    smallest_window_s: float = Field(default=2.0, gt=0, le=WINDOW_S)
    """Shortest window in seconds that is trained and scored."""
    full_probability: float = Field(default=0.03, ge=0, le=1)
    """How many windows are padded to 30 s, so that the model keeps what it hears there."""
    batch_s: float = Field(default=40.0, gt=0)
    """Seconds of audio in a batch, padding included."""
    epochs: float = Field(default=6.0, gt=0)
    """Times that each window is learned from, if `max_minutes` allows it."""
    max_minutes: float = Field(default=20.0, gt=0)
    """Minutes of training, with the teacher's targets cached: the schedule ends within them."""
    learning_rate: float = Field(default=7e-4, gt=0)
    """Peak learning rate of AdamW."""
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    """Part of the training in which the rate rises; it falls linearly to zero in the rest."""
    evaluate_every: int = Field(default=0, ge=0)
    """Steps between checks on the smallest window, the first passed of which ends the run; 0: none."""
    tolerance: float = Field(default=0.5, ge=0)
    """Points of WER by which a window may be worse than the model on 30 s."""
    seed: int = 0
    """Seed of weights and of the order of batches."""
    threads: int = Field(default=0, ge=0)
    """Threads of torch and CTranslate2; 0 is their own choice."""

    def loop(self, steps: int) -> LoopOptions:
        """Return the options of the loop for a run of `steps`."""
        return LoopOptions(
            max_steps=steps,
            learning_rate=self.learning_rate,
            warmup_ratio=self.warmup_ratio,
            weight_decay=0.0,
            plan=PlanOptions(
                batch_s=self.batch_s,
                full_probability=self.full_probability,
                bucket_probability=BUCKETED,
                cut_probability=0.0,
                seed=self.seed,
            ),
        )


class Training:
    """A run in `out` that goes on where an earlier one was killed."""

    def __init__(
        self, options: TrainingOptions, base: Path, windows: RenderedWindows, cache: TeacherCache, out: Path
    ) -> None:
        self.options, self.base, self.out = options, base, out
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(options.seed)
        objective = CachedObjective(self._student(), options.train, options.distance).to(self.device)
        self.data = objective, windows, cache, Tokens.load(base)
        self.loop = self._loop(self._steps())
        self.minutes = 0.0
        if self._checkpoint.exists():
            state = torch.load(self._checkpoint, map_location="cpu", weights_only=True)
            self.loop.restore(state["loop"])
            self.minutes = state["minutes"]
        self.started = self.saved = time.monotonic()

    @property
    def _checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def _student(self) -> Any:
        model = load_model(self.base)
        if not torch.cuda.is_available():
            model.set_attn_implementation("eager")  # twice as fast backward on a CPU, at these sizes
        return add_lora(model, self.options.lora) if self.options.train == "lora" else model

    def _loop(self, steps: int) -> CachedLoop:
        return CachedLoop(
            *self.data,
            self.options.loop(steps),
            smallest_window_s=self.options.smallest_window_s,
            device=self.device,
        )

    def _steps(self) -> int:
        """Return how many steps the run has: measured when it starts, and kept for when it goes on."""
        file = self.out / "steps.json"
        if not file.exists():
            probe = self._loop(1)
            wanted = math.ceil(self.options.epochs * probe.batches_per_epoch())
            affordable = int(60 * self.options.max_minutes / probe.seconds_per_step())
            file.write_text(json.dumps(max(1, min(wanted, affordable))))
        return int(json.loads(file.read_text()))

    def run(self, evaluator: WindowEvaluator) -> None:
        """Train to the last step, or until a check on the smallest window passes."""
        self.evaluator = evaluator
        if self.loop.step < self.loop.options.max_steps:
            self.loop.run(self._after_step)
        self._save()

    def _after_step(self, loop: Loop) -> bool:
        now, last = time.monotonic(), loop.options.max_steps
        if loop.step % REPORT_EVERY == 0 or loop.step == last:
            p = loop.progress()
            line = (
                f"step {p.step:>5} of {last}  loss {p.loss:.3f}  kl {p.kl:.3f}  {p.samples_per_s:.1f} clips/s"
            )
            print(line, file=sys.stderr, flush=True)
        if now - self.saved > SAVE_EVERY_S:
            self._save()
        every = self.options.evaluate_every
        return bool(every and loop.step % every == 0 and self._passes())

    def _save(self) -> None:
        self.saved = time.monotonic()
        self.minutes += (self.saved - self.started) / 60
        self.started = self.saved
        part = self._checkpoint.with_suffix(".part")
        torch.save({"loop": self.loop.state(), "minutes": self.minutes}, part)
        part.rename(self._checkpoint)

    def _passes(self) -> bool:
        folder = convert(self.write(), self.out / "ctranslate2")
        engine = CTranslate2Engine(folder, threads=self.options.threads)
        score = self.evaluator.score(engine, self.options.smallest_window_s)
        return score.passes(self.options.tolerance)

    def write(self) -> Path:
        """Write the student, its adapter merged, to `out/model` and return that."""
        model = load_model(self.base)
        model.load_state_dict(merged_state(self.loop.objective.student))
        folder = save_model(model, self.out / "model", self.base)
        self._describe(folder, self.options.smallest_window_s)
        return folder

    def finish(self, name: str, min_window_s: float) -> None:
        """Write the window that was passed beside model and export, and the adapter of the model `name`."""
        for form in ("model", "ctranslate2"):
            self._describe(self.out / form, min_window_s)
        if self.options.train == "lora":
            student = self.loop.objective.student
            folder = save_adapter(student, self.out / "adapter", self.options.lora)
            self._describe(folder, min_window_s, base=name, base_digest=base_digest(student))
        self._checkpoint.unlink()

    def _describe(self, folder: Path, min_window_s: float, **more: str) -> None:
        values = {"min_window_s": min_window_s, **more}
        (folder / "voxray.json").write_text(json.dumps(values, indent=1) + "\n")

    def result(self) -> dict[str, Any]:
        """Return what the job's result says of the training."""
        trained = [p for p in self.loop.objective.parameters() if p.requires_grad]
        return {
            "windows": len(self.loop.rows),
            "steps": self.loop.step,
            "minutes": round(self.minutes, 2),
            "samples_per_s": round(self.loop.samples / max(1e-9, 60 * self.minutes), 2),
            "parameters_trained": sum(p.numel() for p in trained),
        }
