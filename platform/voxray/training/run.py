"""One training run on any number of workers: what happens after each step. `trainer.py` adds Ray."""

import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import ClipStore, ClipSubset
from voxray.errors import TrainingError
from voxray.files import atomic_directory
from voxray.training.evaluation import Evaluation, EvaluationOptions, Evaluator, write_hypotheses
from voxray.training.frozen_states import FrozenStatesCache
from voxray.training.hotwords import vocabulary
from voxray.training.loop import Loop
from voxray.training.loop_options import LoopOptions
from voxray.training.lora_options import LoraOptions
from voxray.training.metrics_log import LogOptions, MetricsLog
from voxray.training.objective import Objective, ObjectiveOptions
from voxray.training.plan import JoinRules, Mixture
from voxray.whisper.checkpoint import load_model, save_model
from voxray.whisper.ctranslate import WINDOWS_S
from voxray.whisper.labels import label_room, text_tokens
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.tokens import Tokens

STATE = "state.pt"  # the file of a checkpoint


class RunOptions(EvaluationOptions, LogOptions):
    """What a run starts from, learns from and writes. All workers must see its paths."""

    out: Path
    start: Path
    """The model that is trained, in Hugging Face form."""
    teacher: Path | None = None
    teacher_short: bool = True
    """Whether the teacher gets the same short windows; else its own are padded to 30 s."""
    train: tuple[Path, ...]
    """Clip stores."""
    weights: tuple[float, ...] = ()
    """The share of each store; empty: each clip counts the same."""
    selected: Path | None = None
    """What of `train` is trained on, as `ClipSubset` takes it, in a .npy file; None is all of it."""
    dev: Path | None = None
    """A clip store; without one, or without clips in it, the last weights are kept, not the best."""
    smallest_window_s: float = WINDOWS_S[0]
    languages: tuple[str, ...] = ()
    """Those of the trained model, for its `voxray.json`; empty where its tokens say them."""
    cached_epochs: int = 0
    """After so many epochs the batches come again; 0 plans every epoch anew."""
    cache: Path | None = None
    """Folder for what is frozen of batches that come again; runs on the same clips may share it."""
    loop: LoopOptions = LoopOptions()
    objective: ObjectiveOptions = ObjectiveOptions()
    lora: LoraOptions | None = None
    """Train an adapter instead of the weights that `objective` leaves free; it is merged for evaluation."""
    dora: bool = False
    """Train the magnitudes of the adapted weights too (DoRA)."""


Commit = Callable[[dict[str, float], Path | None], None]
"""Takes the metrics of an evaluation and, on rank 0, the folder of a checkpoint that it may move away."""


class Run:
    """A loop with evaluation, a log and checkpoints. Every rank makes one; only rank 0 writes.

    Call `restore` if there is a checkpoint, then `train`. The best weights are in `out/model`, and what they
    and the first weights transcribed in the dev clips in `out/hypotheses` (`read_hypotheses`).
    """

    def __init__(
        self,
        options: RunOptions,
        loop: Loop,
        commit: Commit,
        evaluator: Callable[..., Evaluation] | None = None,
    ) -> None:
        """`evaluator` scores a model as `Evaluator` does; by default one on the clips of `options.dev`."""
        self.options, self.loop, self.commit = options, loop, commit
        self.model = options.out / "model"
        self.writes = loop.rank == 0
        self.best_wer, self.best_step, self.stale = float("inf"), 0, 0
        self.evaluator = (evaluator or self._evaluator()) if self.writes else None
        config = options.model_dump(mode="json")
        self.log = MetricsLog(options, options.out, config) if self.writes else None

    def _evaluator(self) -> Evaluator | None:
        o = self.options
        clips = list(ClipStore([o.dev])) if o.dev else []
        if not clips:  # no errors in no words would make the first weights the best
            return None
        return Evaluator(clips, o.smallest_window_s, o.normaliser, threads=max(1, o.loop.threads))

    @property
    def finished(self) -> bool:
        """Whether all steps are made, or the WER has not improved for as long as `patience` allows."""
        o = self.options
        return self.loop.step >= self.loop.max_steps or bool(o.patience and self.stale >= o.patience)

    def train(self) -> None:
        """Train to the end of the run; returns at once if the restored run is finished."""
        if not self.finished:
            if self.evaluator and self.loop.step == 0:
                first = self._evaluation()
                write_hypotheses(self.options.out, "first", first.texts)
                self._keep_best(first)
            self.loop.run(self._after_step)
        if self.log:
            self.log.close()

    def _after_step(self, loop: Loop) -> bool:
        o = self.options
        if self.log and (loop.step % o.report_every == 0 or loop.step == loop.max_steps):
            self.log.report(loop.progress())
        if loop.step % o.evaluate_every and loop.step != loop.max_steps:
            return False
        return self._evaluate()

    def _evaluate(self) -> bool:
        """Evaluate, keep the best and commit a checkpoint; returns whether the run is finished."""
        metrics, folder = {"step": float(self.loop.step)}, None
        if self.writes:
            evaluation = self._evaluation() if self.evaluator else Evaluation(float("nan"), ())
            metrics["wer"] = evaluation.wer
            self._keep_best(evaluation)
            folder = self.save(self.options.out / "checkpoint.part")
        finished = self._broadcast(self.finished)
        self.commit(metrics, folder)
        return finished

    def _evaluation(self) -> Evaluation:
        assert self.evaluator is not None
        assert self.log is not None
        evaluation = self.evaluator(self.exported(), self.options.start, self.options.out / "evaluation")
        self.log.evaluated(self.loop.step, evaluation.wer)
        return evaluation

    def _keep_best(self, evaluation: Evaluation) -> None:
        better = not self.evaluator or evaluation.wer < self.best_wer
        self.stale = 0 if better else self.stale + 1
        if not better:
            return
        self.best_wer, self.best_step = evaluation.wer, self.loop.step
        with atomic_directory(self.model) as part:
            save_model(self.exported(), part, self.options.start)
            self._info().save(part)
        if self.evaluator:
            write_hypotheses(self.options.out, "best", evaluation.texts)

    def _info(self) -> ModelInfo:
        """Return what is known of the model; without its smallest window it would be served on 30 s."""
        info = ModelInfo(min_window_s=self.options.smallest_window_s)
        known = self.options.languages
        return info.model_copy(update={"languages": known}) if known else info

    def exported(self) -> Any:
        """Return the student, with its averaged weights if an average is kept."""
        student = self.loop.objective.student
        if self.options.lora:
            return _merged(student, self.options.start)
        if not self.loop.ema:
            return student
        kept = load_model_like(student)
        kept.load_state_dict({k: v.to(torch.float32) for k, v in self.loop.ema.weights.items()})
        return kept

    def _broadcast(self, decision: bool) -> bool:
        """Return the decision of rank 0, which alone knows the WER."""
        if self.loop.world == 1:
            return decision
        value = torch.tensor([float(decision)], device=self.loop.device)
        torch.distributed.broadcast(value, src=0)
        return bool(value.item())

    def save(self, folder: Path) -> Path:
        """Write a checkpoint that `restore` continues from."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        best = (self.best_wer, self.best_step, self.stale)
        torch.save({"loop": self.loop.state(), "best": best}, folder / STATE)
        return folder

    def restore(self, folder: Path) -> None:
        """Continue from the checkpoint in `folder`, best WER and patience included.

        Where it is cut short, the run continues from the newest one beside it that is whole, and stderr says
        so. Raises TrainingError where none is.
        """
        state = _newest_whole(folder)
        self.loop.restore(state["loop"])
        self.best_wer, self.best_step, self.stale = state["best"]


def read_checkpoint(folder: Path, *, mmap: bool = False) -> dict[str, Any]:
    """Return what `Run.save` wrote to `folder`; raise TrainingError where that cannot be read.

    With `mmap`, tensors are read when they are used.
    """
    file = folder / STATE
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
        return state
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as e:  # torch has no error of its own
        why = str(e).partition("\n")[0].rstrip(".")
        raise TrainingError(f"{file}: expected a whole checkpoint, got one that is cut short ({why})") from e


def _newest_whole(folder: Path) -> dict[str, Any]:
    """Read the checkpoint in `folder`, else the newest whole one beside it: their names are their times."""
    older = sorted((f.parent for f in folder.parent.glob(f"*/{STATE}")), reverse=True)
    problem: TrainingError | None = None
    for place in (folder, *(other for other in older if other.name < folder.name)):
        try:
            state = read_checkpoint(place)
        except TrainingError as e:
            problem = problem or e
            continue
        if problem:
            print(f"{problem}; going on from step {state['loop']['step']} instead.", file=sys.stderr)
        return state
    raise TrainingError(
        f"{problem}, and no whole one before it; put it back, or delete the run's folder to start afresh."
    )


def _merged(student: Any, start: Path) -> Any:
    """Return the model in `start` with the weights of `student`, its adapter merged into them."""
    from voxray.training.lora import merged_state  # peft: seconds of imports

    kept = load_model(start)
    kept.load_state_dict(merged_state(student))
    return kept


def load_model_like(model: Any) -> Any:
    """Return a new model of the same shape and generation settings."""
    other = type(model)(model.config)
    other.generation_config = model.generation_config
    return other


def build_loop(options: RunOptions, device: torch.device, wrap: Callable[[Any], Any] = lambda m: m) -> Loop:
    """Load the models and data of a run into its loop; `wrap` puts DDP around the objective."""
    if options.loop.threads:
        torch.set_num_threads(options.loop.threads)
    torch.manual_seed(options.loop.plan.seed)
    tokens = Tokens.load(options.start)
    student = _prepared(load_model(options.start), options)
    teacher = load_model(options.teacher).to(device) if options.teacher else None
    objective = Objective(
        student,
        options.objective,
        teacher,
        blank=tokens.end,
        teacher_short=options.teacher_short,
        cache=FrozenStatesCache(options.cache) if options.cache and options.cached_epochs else None,
    )
    if options.lora:
        from voxray.training.lora import add_lora  # peft: seconds of imports

        add_lora(objective.student, options.lora, dora=options.dora)
    objective = objective.to(device)
    store = ClipStore(options.train)
    clips = ClipSubset(store, np.load(options.selected)) if options.selected else store
    durations_s = [clips.samples(i) / SAMPLE_RATE for i in range(len(clips))]
    listed = options.loop.labels.hotwords_probability > 0
    return Loop(
        objective,
        clips,
        durations_s,
        tokens,
        options.loop,
        smallest_window_s=options.smallest_window_s,
        device=device,
        wrapped=wrap(objective),
        mixture=Mixture(clips.sizes, options.weights) if options.weights else None,
        rules=_join_rules(clips, tokens) if options.loop.plan.join_probability else None,
        vocabulary=vocabulary(clips.text(i) for i in range(len(clips))) if listed else (),
        distinct_epochs=options.cached_epochs,
    )


def _join_rules(clips: ClipStore | ClipSubset, tokens: Tokens) -> JoinRules:
    """Return which of `clips` may be joined, without reading their samples."""
    counts = [text_tokens(tokens, clips.text(i)) for i in range(len(clips))]
    return JoinRules(counts, label_room(tokens), [clips.kind(i) for i in range(len(clips))])


def _prepared(student: Any, options: RunOptions) -> Any:
    if options.loop.gradient_checkpointing:
        student.activation_checkpointing_enable()
    chosen = options.loop.attn_implementation
    if chosen == "auto":
        # On a CPU, plain attention is twice as fast as the fused one in the backward pass of small models.
        chosen = "sdpa" if torch.cuda.is_available() else "eager"
    student.set_attn_implementation(chosen)
    return student
