"""One training run, on any number of workers: what happens after each step. `trainer.py` adds Ray."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from voxray.config import Config
from voxray.corpora.store import ClipStore
from voxray.text import NormaliserName
from voxray.training.evaluation import Judge
from voxray.training.loop import Loop, LoopOptions, Progress
from voxray.training.objective import Objective
from voxray.whisper.checkpoint import load_model, save_model
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.tokens import Tokens


class RunOptions(Config):
    """A run: what starts it, what it learns from, when it is judged and kept. Every worker sees its paths."""

    out: Path
    start: Path  # the model that is trained, in Hugging Face form
    teacher: Path | None = None
    train: tuple[Path, ...]  # clip stores
    dev: Path | None = None  # a clip store; without one nothing is judged and the last weights win
    loop: LoopOptions = LoopOptions()
    teacher_short: bool = True
    normaliser: NormaliserName = "auto"
    report_every: int = 10  # steps between lines of progress
    evaluate_every: int = 200
    patience: int = 0  # evaluations without a better WER before the run stops; 0: never
    threads: int = 0  # torch's, per worker; 0: torch's own choice


Commit = Callable[[dict[str, float], Path | None], None]
"""Takes the metrics of an evaluation and, on rank 0, the folder of a checkpoint that may be moved away."""


class Run:
    """The loop with its judge, its log and its checkpoints. Every rank makes one; rank 0 writes."""

    def __init__(
        self, options: RunOptions, loop: Loop, commit: Commit, judge: Callable[..., float] | None = None
    ) -> None:
        """`judge` scores a model as `Judge` does; by default one on the clips of `options.dev`."""
        self.options, self.loop, self.commit = options, loop, commit
        self.writes = loop.rank == 0
        self.best_wer, self.best_step, self.stale = float("inf"), 0, 0
        self.judge = (judge or self._judge()) if self.writes else None
        self.board = SummaryWriter(str(options.out / "tensorboard")) if self.writes else None

    def _judge(self) -> Judge | None:
        o = self.options
        if o.dev is None:
            return None
        clips = list(ClipStore([o.dev]))
        judge = Judge(clips, o.loop.labels.smallest_window_s, o.normaliser, threads=max(1, o.threads))
        return judge if clips else None  # no errors in no words would make the first weights the best

    def train(self) -> None:
        """To the end of the run, early or not; the best weights stand in `out/model`."""
        if self.judge and self.loop.step == 0:
            self._keep_best(self._wer())
        self.loop.run(self._after_step)
        if self.board:
            self.board.close()

    def _after_step(self, loop: Loop) -> bool:
        o = self.options
        if loop.step % o.report_every == 0 or loop.step == o.loop.max_steps:
            self._log(loop.progress())
        if loop.step % o.evaluate_every and loop.step != o.loop.max_steps:
            return False
        return self._evaluate()

    def _log(self, progress: Progress) -> None:
        if not self.board:
            return
        values = asdict(progress)
        for key in ("loss", "ce", "kl", "ctc", "learning_rate", "gradient_norm", "samples_per_s"):
            self.board.add_scalar(f"train/{key}", values[key], progress.step)
        self._line(values)

    def _line(self, values: dict[str, Any]) -> None:
        with (self.options.out / "progress.jsonl").open("a") as log:
            log.write(json.dumps(values) + "\n")

    def _evaluate(self) -> bool:
        """Judge, keep the best, commit a checkpoint; True when patience has run out."""
        metrics, folder = {"step": float(self.loop.step)}, None
        if self.writes:
            metrics["wer"] = self._wer() if self.judge else float("nan")
            self._keep_best(metrics["wer"])
            folder = self.save(self.options.out / "checkpoint.part")
        stop = self._agree(bool(self.options.patience and self.stale >= self.options.patience))
        self.commit(metrics, folder)
        return stop

    def _wer(self) -> float:
        assert self.judge is not None
        wer = self.judge(self.exported(), self.options.start, self.options.out / "judged")
        self._line({"step": self.loop.step, "wer": wer})
        if self.board:
            self.board.add_scalar("dev/wer", wer, self.loop.step)
        return wer

    def _keep_best(self, wer: float) -> None:
        better = not self.judge or wer < self.best_wer
        self.stale = 0 if better else self.stale + 1
        if not better or not self.writes:
            return
        self.best_wer, self.best_step = wer, self.loop.step
        part = self.options.out / "model.part"
        shutil.rmtree(part, ignore_errors=True)
        save_model(self.exported(), part, self.options.start)
        # Trained and judged on windows down to this one; without a word, its next user would take 30 s.
        smallest_s = self.options.loop.labels.smallest_window_s
        ModelInfo(min_window_s=smallest_s).save(part)
        shutil.rmtree(self.options.out / "model", ignore_errors=True)
        part.rename(self.options.out / "model")

    def exported(self) -> Any:
        """The student with its averaged weights where an average is kept."""
        student = self.loop.objective.student
        if not self.loop.average:
            return student
        kept = load_model_like(student)
        kept.load_state_dict({k: v.to(torch.float32) for k, v in self.loop.average.weights.items()})
        return kept

    def _agree(self, stop: bool) -> bool:
        """Rank 0's word on stopping, for all."""
        if self.loop.world == 1:
            return stop
        said = torch.tensor([float(stop)], device=self.loop.device)
        torch.distributed.broadcast(said, src=0)
        return bool(said.item())

    def save(self, folder: Path) -> Path:
        """A checkpoint that `restore` goes on from."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        best = (self.best_wer, self.best_step, self.stale)
        torch.save({"loop": self.loop.state(), "best": best}, folder / "state.pt")
        return folder

    def restore(self, folder: Path) -> None:
        """Go on where the checkpoint in `folder` was taken, best WER and patience included."""
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        self.loop.restore(state["loop"])
        self.best_wer, self.best_step, self.stale = state["best"]


def load_model_like(model: Any) -> Any:
    """A second model of the same shape and generation settings."""
    other = type(model)(model.config)
    other.generation_config = model.generation_config
    return other


def build_loop(options: RunOptions, device: torch.device, wrap: Callable[[Any], Any] = lambda m: m) -> Loop:
    """Models, objective, data and loop of a run; `wrap` puts DDP around the objective."""
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.loop.plan.seed)
    tokens = Tokens.load(options.start)
    student = _prepared(load_model(options.start), options)
    teacher = load_model(options.teacher).to(device) if options.teacher else None
    objective = Objective(
        student, options.loop.objective, teacher, blank=tokens.end, teacher_short=options.teacher_short
    ).to(device)
    clips = ClipStore(options.train)
    durations_s = [clips.samples(i) / 16_000 for i in range(len(clips))]
    return Loop(objective, clips, durations_s, tokens, options.loop, device=device, wrapped=wrap(objective))


def _prepared(student: Any, options: RunOptions) -> Any:
    if options.loop.gradient_checkpointing:
        student.gradient_checkpointing_enable()
    # On CPU, plain attention is twice as fast in the backward pass as the fused one, at these sizes.
    if not torch.cuda.is_available():
        student.set_attn_implementation("eager")
    return student
