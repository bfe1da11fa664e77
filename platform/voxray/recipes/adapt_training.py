"""The training of an adaptation: how long it takes, its checkpoints, and the model that comes out of it."""

import json
import math
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from voxray.audio import WINDOW_S
from voxray.scoring.windows import WindowEvaluator
from voxray.training.adaptation import CachedLoop, CachedObjective, DistanceOptions, Part
from voxray.training.loop import Loop
from voxray.training.loop_options import LoopOptions
from voxray.training.lora import add_lora, base_digest, load_lora, merged_state, save_adapter
from voxray.training.lora_options import LoraOptions
from voxray.training.metrics_log import LogOptions, MetricsLog
from voxray.training.plan import PlanOptions
from voxray.training.progress import TimeLeft, describe
from voxray.training.rendering import RenderedWindows
from voxray.training.teacher_cache import TeacherCache
from voxray.whisper.checkpoint import load_model, save_model
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.export import convert
from voxray.whisper.tokens import Tokens

BUCKETED = 0.25  # of the batches are padded to a serving window; half of a window would be silence else
REPORT_EVERY = 20  # steps
SAVE_EVERY_S = 60.0


class TrainingOptions(LogOptions):
    """How an adaptation is trained, and what it must reach."""

    train: Part = "lora"
    """What moves: low-rank adapters of encoder and decoder, the encoder, or all of the model."""
    lora: LoraOptions = LoraOptions()
    """The adapter, if that is what is trained."""
    start: Path | None = None
    """An adapter of an earlier run, of the same rank, to start from; null starts from the model as it is."""
    distance: DistanceOptions = DistanceOptions()
    """The loss against the teacher."""
    smallest_window_s: float = Field(default=2.0, gt=0, le=WINDOW_S)
    """Shortest window in seconds that is trained and scored."""
    longest_window_s: float = Field(default=WINDOW_S, gt=0, le=WINDOW_S)
    """Longest window in seconds that is trained; a step costs what its seconds cost."""
    full_probability: float = Field(default=0.03, ge=0, le=1)
    """How many windows are padded to 30 s, so that the model keeps its results there."""
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
    evaluate_every: int = Field(default=100, ge=0)
    """Steps between checks; the run ends where every window passes; 0: no check before the last step."""
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
        self.tokens = Tokens.load(base)
        self.objective = CachedObjective(self._student(), options.train, options.distance).to(self.device)
        self.data = self.objective, windows, cache, self.tokens
        self.loop = self._loop(self._steps())
        self.minutes, self.passed = 0.0, False
        if self._checkpoint.exists():
            state = torch.load(self._checkpoint, map_location="cpu", weights_only=True)
            self.loop.restore(state["loop"])
            self.minutes, self.passed = state["minutes"], state["passed"]
        self.started = self.saved = time.monotonic()

    @property
    def _checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def _student(self) -> Any:
        model = load_model(self.base)
        if not torch.cuda.is_available():
            model.set_attn_implementation("eager")  # twice as fast backward on a CPU, at these sizes
        if self.options.train != "lora":
            return model
        student = add_lora(model, self.options.lora)
        if self.options.start:
            load_lora(student, self.options.start)
        return student

    def _loop(self, steps: int) -> CachedLoop:
        return CachedLoop(
            *self.data,
            self.options.loop(steps),
            smallest_window_s=self.options.smallest_window_s,
            longest_window_s=self.options.longest_window_s,
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
        """Train to the last step, or until a check passes on every window."""
        self.evaluator = evaluator
        if not self.passed and self.loop.step < self.loop.options.max_steps:
            self.log = MetricsLog(self.options, self.out, self.options.model_dump(mode="json"))
            self.time_left = TimeLeft(self.loop.options.max_steps)
            self.loop.run(self._after_step)
            self.log.close()
        self._save()

    def _after_step(self, loop: Loop) -> bool:
        now, last = time.monotonic(), loop.options.max_steps
        if loop.step % REPORT_EVERY == 0 or loop.step == last:
            self._tell(self.log.report(loop.progress()))
        if now - self.saved > SAVE_EVERY_S:
            self._save()
        every = self.options.evaluate_every
        self.passed = bool(every and loop.step % every == 0 and loop.step < last and self._passes())
        return self.passed

    def _tell(self, line: dict[str, Any]) -> None:
        left_s = self.time_left.after(line)
        print(describe(line, self.time_left.max_steps, left_s), file=sys.stderr, flush=True)

    def _save(self) -> None:
        self.saved = time.monotonic()
        self.minutes += (self.saved - self.started) / 60
        self.started = self.saved
        part = self._checkpoint.with_suffix(".part")
        torch.save({"loop": self.loop.state(), "minutes": self.minutes, "passed": self.passed}, part)
        part.rename(self._checkpoint)

    def _passes(self) -> bool:
        folder = convert(self.write(), self.out / "ctranslate2")
        engine = CTranslate2Engine(folder, threads=self.options.threads)
        scores = self.evaluator.scores(engine, self.options.smallest_window_s)
        smallest = next(scores)
        self._tell(self.log.evaluated(self.loop.step, smallest.rate))
        return all(score.passes(self.options.tolerance) for score in chain((smallest,), scores))

    def write(self) -> Path:
        """Write the student, its adapter merged, to `out/model` and return that."""
        model = load_model(self.base)
        model.load_state_dict(merged_state(self.objective.student))
        model.generation_config.begin_suppress_tokens = self._barred()
        folder = save_model(model, self.out / "model", self.base)
        self._describe(folder, self.options.smallest_window_s)
        return folder

    def _barred(self) -> list[int]:
        """Return what decoding bars at the beginning of a text: what the model does, but not to end it."""
        return [token for token in self.objective.barred if token != self.tokens.end]

    def finish(self, name: str, min_window_s: float) -> None:
        """Write the window that was passed beside model and export, and the adapter of the model `name`."""
        for form in ("model", "ctranslate2"):
            self._describe(self.out / form, min_window_s)
        if self.options.train == "lora":
            student = self.objective.student
            folder = save_adapter(student, self.out / "adapter", self.options.lora)
            made_for = {"base": name, "base_digest": base_digest(student)}
            self._describe(folder, min_window_s, begin_suppress_tokens=self._barred(), **made_for)
        self._checkpoint.unlink()

    def _describe(self, folder: Path, min_window_s: float, **more: Any) -> None:
        values = {"min_window_s": min_window_s, **more}
        (folder / "voxray.json").write_text(json.dumps(values, indent=1) + "\n")

    def result(self) -> dict[str, Any]:
        """Return the training's part of the job's result."""
        trained = [p for p in self.objective.parameters() if p.requires_grad]
        return {
            "windows": len(self.loop.rows),
            "steps": self.loop.step,
            "minutes": round(self.minutes, 2),
            "samples_per_s": round(self.loop.samples / max(1e-9, 60 * self.minutes), 2),
            "parameters_trained": sum(p.numel() for p in trained),
        }
