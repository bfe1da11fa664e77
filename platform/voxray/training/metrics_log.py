"""What a run logs while it trains: `progress.jsonl`, TensorBoard, and Weights & Biases if it is asked for."""

import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import field_validator
from torch.utils.tensorboard import SummaryWriter

from voxray.config import Config
from voxray.errors import TrainingError
from voxray.training.loop import Progress

SCALARS = ("loss", "ce", "kl", "ctc", "learning_rate", "gradient_norm", "samples_per_s")
WANDB_ID = "wandb-id.txt"
LOGGED = ("progress.jsonl", "tensorboard", "wandb", WANDB_ID)
"""What a log leaves in the folder of its run."""


class LogOptions(Config):
    """Where a run is logged, beside `progress.jsonl` and TensorBoard."""

    wandb_project: str | None = None
    """Weights & Biases project to log to; null logs to TensorBoard alone; needs the package wandb."""

    @field_validator("wandb_project")
    @classmethod
    def _installed(cls, project: str | None) -> str | None:
        if project and not has_wandb():
            raise ValueError(
                "expected null, as the package wandb is not installed (pip install 'voxray[wandb]')"
            )
        return project


def has_wandb() -> bool:
    """Return whether the package wandb is installed."""
    spec = find_spec("wandb")
    return spec is not None and spec.origin is not None  # a folder `wandb` of logs is no package


def _drop_unfinished_line(file: Path) -> None:
    """Cut off what a killed process, or a full disk, has left without an end."""
    written = file.read_bytes()
    os.truncate(file, written.rfind(b"\n") + 1)


class MetricsLog:
    """The log of the run in `out`. A resumed run appends to the same files and to the same run of wandb.

    Call `close` when the run ends. Raises TrainingError if Weights & Biases refuses the run.
    """

    def __init__(self, options: LogOptions, out: Path, config: Mapping[str, Any]) -> None:
        """`config` is what Weights & Biases shows as the run's configuration."""
        out.mkdir(parents=True, exist_ok=True)
        self.file = out / "progress.jsonl"
        if self.file.exists():
            _drop_unfinished_line(self.file)
        self.started, self.clock = round(time.time(), 3), time.monotonic()
        self.tensorboard = SummaryWriter(str(out / "tensorboard"))
        self.wandb = _wandb_run(options.wandb_project, out, config) if options.wandb_project else None

    def report(self, progress: Progress) -> dict[str, Any]:
        """Log what the steps since the last report were like; returns the line of `progress.jsonl`."""
        values = asdict(progress)
        self._scalars({f"train/{key}": values[key] for key in SCALARS}, progress.step)
        return self._append(values)

    def evaluated(self, step: int, wer: float) -> dict[str, Any]:
        """Log the WER on the dev clips after `step`, in per cent; returns the line."""
        self._scalars({"dev/wer": wer}, step)
        return self._append({"step": step, "wer": wer})

    def close(self) -> None:
        """Write out what is still in memory."""
        self.tensorboard.close()
        if self.wandb:
            self.wandb.finish()

    def _append(self, values: Mapping[str, Any]) -> dict[str, Any]:
        times = {"started": self.started, "elapsed_s": round(time.monotonic() - self.clock, 3)}
        line = {**values, **times}
        with self.file.open("a") as log:
            log.write(json.dumps(line) + "\n")
        return line

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.tensorboard.add_scalar(name, value, step)
        if self.wandb:
            self.wandb.log(dict(values), step=step)


def _wandb_run(project: str, out: Path, config: Mapping[str, Any]) -> Any:
    """Start the wandb run of `out`, or continue it: its id is kept in `out`."""
    import wandb  # an extra, and a second of imports

    file = out / WANDB_ID
    if not file.exists():
        file.write_text(secrets.token_hex(4) + "\n")
    try:
        return wandb.init(
            project=project,
            id=file.read_text().strip(),
            resume="allow",
            name=out.name,
            dir=str(out),
            config=dict(config),
            settings=wandb.Settings(console="off"),
        )
    except wandb.Error as e:
        reason = " ".join(str(e).split()).rstrip(".")
        raise TrainingError(
            f"wandb_project={project}: expected a run of Weights & Biases, got an error ({reason}); set "
            "WANDB_MODE=offline, or leave wandb_project out."
        ) from e
