"""Ray Train around a run: workers, DDP, checkpoints in shared storage, restarts after a lost worker."""

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray.train
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer, get_device, prepare_model

from voxray.errors import TrainingError, VoxrayError
from voxray.training.progress import TimeLeft, describe
from voxray.training.run import Run, RunOptions, build_loop

MAX_FAILURES = 2  # how often a lost worker is replaced; the run then continues from its last checkpoint


class LostWorkersError(TrainingError):
    """Ray gave up on the workers of a run, for a reason that a new start may mend."""


def train(
    options: RunOptions,
    workers: int = 1,
    cpus_per_worker: float = 1.0,
    callbacks: Sequence[UserCallback] = (),
) -> None:
    """Run `options` on `workers` workers, with a GPU each if there are enough; the best model is `out/model`.

    A killed run in the same `out` is continued. Raises TrainingError with the worker's own reason;
    LostWorkersError where that is none of ours.
    """
    trainer = TorchTrainer(
        _worker,  # type: ignore[arg-type]  # Ray's types are those of Train V1, which returned nothing
        train_loop_config={"options": options.model_dump(mode="json")},
        torch_config=TorchConfig(timeout_s=options.loop.ddp_timeout_s),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=_gpus() >= workers,
            resources_per_worker={"CPU": cpus_per_worker},
        ),
        run_config=RunConfig(
            name="run",
            storage_path=str((options.out / "train").resolve()),
            callbacks=list(callbacks),  # type: ignore[arg-type]  # the same
            checkpoint_config=CheckpointConfig(
                num_to_keep=options.keep_checkpoints,
                checkpoint_score_attribute="wer",
                checkpoint_score_order="min",
            ),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
        ),
    )
    with _progress_shown(options.out / "progress.jsonl", options.loop.max_steps):
        try:
            refused = trainer.fit().return_value  # type: ignore[attr-defined]  # the same
        except Exception as e:  # Ray wraps a worker's error in classes of its own
            raise _kind(e)(f"{options.out}: training stopped; {_reason(e)}") from e
    if refused:
        raise TrainingError(f"{options.out}: training stopped; {refused}")


def _gpus() -> float:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray's own
    return resources.get("GPU", 0.0)


def _worker(config: dict[str, Any]) -> str | None:
    """Train; a lone worker returns the sentence of a foreseen error, which no restart would mend."""
    try:
        _train(RunOptions.model_validate(config["options"]))
    except VoxrayError as e:
        if ray.train.get_context().get_world_size() > 1:
            raise  # the others wait in a collective, and Ray must end them
        return str(e)
    return None


def _train(options: RunOptions) -> None:
    if not options.loop.threads and get_device().type == "cpu":
        loop = options.loop.model_copy(update={"threads": own_cores()})
        options = options.model_copy(update={"loop": loop})
    run = Run(options, build_loop(options, get_device(), wrap=_distributed), _commit)
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as folder:
            run.restore(Path(folder))
    run.train()


def own_cores() -> int:
    """Return this worker's share of its node's cores.

    Left to itself torch takes one: Ray sets OMP_NUM_THREADS by the logical CPUs of a worker.
    """
    workers: int = ray.train.get_context().get_local_world_size()
    return max(1, (os.cpu_count() or 1) // workers)


def _distributed(objective: Any) -> Any:
    world = ray.train.get_context().get_world_size()
    if world == 1:
        return objective
    # Layers dropped at random, and CTC on a batch without text, leave parameters without a gradient.
    return prepare_model(objective, parallel_strategy_kwargs={"find_unused_parameters": True})


def _commit(metrics: dict[str, float], folder: Path | None) -> None:
    checkpoint = Checkpoint.from_directory(folder) if folder else None
    ray.train.report(metrics, checkpoint=checkpoint)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _kind(error: BaseException) -> type[TrainingError]:
    return TrainingError if isinstance(_cause(error), VoxrayError) else LostWorkersError


def _reason(error: BaseException) -> str:
    """Return the last line of the innermost message, else its class."""
    cause = _cause(error)
    return (str(cause).strip().splitlines() or [type(cause).__name__])[-1]


def _cause(error: BaseException) -> Any:
    """Return the innermost error: Ray wraps them several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    failures = getattr(error, "worker_failures", None)
    inner = next(iter(failures.values())) if failures else error
    return getattr(inner, "cause", inner)


@contextmanager
def _progress_shown(log: Path, max_steps: int) -> Iterator[None]:
    """Show the progress that a worker writes to `log` on stderr while the block runs."""
    done = threading.Event()
    seen = log.stat().st_size if log.exists() else 0
    thread = threading.Thread(target=_follow, args=(log, seen, max_steps, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _follow(log: Path, seen: int, max_steps: int, done: threading.Event) -> None:
    finished, time_left = False, TimeLeft(max_steps)
    while not finished:
        finished = done.wait(1.0)
        if not log.exists():
            continue
        with log.open("rb") as lines:
            lines.seek(min(seen, log.stat().st_size))  # a worker cuts off a line that is not whole
            seen = lines.tell()
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                seen += len(line)
                values = json.loads(line)
                time_left.max_steps = values.get("max_steps", time_left.max_steps)  # fewer by max_epochs
                told = describe(values, time_left.max_steps, time_left.after(values))
                print(told, file=sys.stderr, flush=True)
