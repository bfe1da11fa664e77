"""What the training jobs have in common: how a run learns, where it stands, and that it goes on."""

import json
import shutil
from pathlib import Path
from typing import Literal

from pydantic import Field

from voxray import job
from voxray.config import Config
from voxray.errors import OutputError
from voxray.text import NormaliserName
from voxray.training.augment import AugmentOptions
from voxray.training.collate import LabelOptions
from voxray.training.loop import LoopOptions
from voxray.training.objective import ObjectiveOptions
from voxray.training.plan import PlanOptions
from voxray.training.run import RunOptions
from voxray.training.schedule import Schedule

FREE = {"out", "overwrite", "workers", "threads", "evaluate_every", "patience"}
"""Options of a training job that an unfinished run may go on without: no step depends on them."""


class LearningConfig(Config):
    """The keys of every training job. The defaults are those of distillation."""

    out: Path
    smallest_window_s: float | None = None  # null: the smallest that the model passed
    max_steps: int = Field(default=1000, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    schedule: Schedule = "linear"
    floor: float = Field(default=0.0, ge=0, le=1)
    warmup_share: float = Field(default=0.05, ge=0, lt=1)
    accumulate: int = Field(default=1, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    gradient_checkpointing: bool = False
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    plan: PlanOptions = PlanOptions()
    labels: LabelOptions = LabelOptions()
    augment: AugmentOptions = AugmentOptions()
    time_masks: int = Field(default=0, ge=0)
    frequency_masks: int = Field(default=0, ge=0)
    normaliser: NormaliserName = "auto"
    evaluate_every: int = Field(default=200, ge=1)
    patience: int = Field(default=0, ge=0)
    workers: int = Field(default=1, ge=1)
    threads: int = Field(default=0, ge=0)
    overwrite: bool = False

    def masked(self, objective: ObjectiveOptions) -> ObjectiveOptions:
        """`objective` with the masks of this configuration."""
        return objective.model_copy(
            update={"time_masks": self.time_masks, "frequency_masks": self.frequency_masks}
        )


def run_options(config: LearningConfig, objective: ObjectiveOptions, smallest_s: float) -> RunOptions:
    """The run of `config` in its `out`; windows are at least `smallest_s` seconds."""
    out = config.out.resolve()
    return RunOptions(
        out=out,
        start=out / "start",
        train=(out / "clips-train",),
        dev=out / "clips-dev",
        normaliser=config.normaliser,
        evaluate_every=config.evaluate_every,
        patience=config.patience,
        threads=config.threads,
        loop=LoopOptions(
            max_steps=config.max_steps,
            learning_rate=config.learning_rate,
            schedule=config.schedule,
            floor=config.floor,
            warmup_share=config.warmup_share,
            accumulate=config.accumulate,
            precision=config.precision,
            gradient_checkpointing=config.gradient_checkpointing,
            ema_decay=config.ema_decay,
            plan=config.plan,
            labels=config.labels.model_copy(update={"smallest_window_s": smallest_s}),
            augment=config.augment,
            objective=config.masked(objective),
        ),
    )


def prepared(config: LearningConfig) -> Path:
    """`config.out`, ready; an unfinished run there stays and goes on, where its options are `config`'s.

    Raises OutputError where they are others, or the run is finished: `overwrite` clears either.
    """
    out = job.prepare_out(config.out, overwrite=config.overwrite, resume=True)
    file, options = out / "config.json", config.model_dump(mode="json", exclude=FREE)
    before = json.loads(file.read_text()) if file.exists() else options
    others = sorted(key for key in {*before, *options} if before.get(key) != options.get(key))
    if others and not config.overwrite:
        raise OutputError(
            f"{out}: expected the options of the unfinished run there, and {others[0]} is another; "
            "change out=, or add overwrite=true to start afresh."
        )
    if others or (out / "result.json").exists():
        clear(out)
    file.write_text(json.dumps(options) + "\n")
    return out


def clear(out: Path) -> None:
    """Remove a run, so that another starts afresh; its result and what it was bound to last."""
    for name in ("train", "model", "clips-train", "clips-dev", "start", "tensorboard", "judged"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("progress.jsonl", "result.json", "config.json"):
        (out / name).unlink(missing_ok=True)
