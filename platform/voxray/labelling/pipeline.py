"""Labelling on Ray Data: items -> read and cut (tasks) -> label (a pool of actors) -> shards, by the driver.

A clip that kills its process takes the others of its batch with it, and they do not arrive. What has not
arrived is tried again one item at a time; what is still missing then is what kills, and is rejected.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import ray.data
import ray.exceptions
from ray.util.annotations import RayDeprecationWarning

from voxray.corpora.items import Item, Rejected
from voxray.errors import LabellingError
from voxray.labelling.collecting import Collector
from voxray.labelling.pieces import LABEL_SCHEMA, item_table
from voxray.labelling.shards import Shards
from voxray.labelling.stages import LabelStage, read_stage
from voxray.labelling.teacher import EngineSource
from voxray.whisper.engines import DecodingOptions

READ_ITEMS = 16  # in one reading task
CPUS_EACH = 0.5  # logical, for a reader and for a worker: a cluster has more of them than cores (cluster.py)
# What kills its process is not retried by Ray (by default for ever) but by a pass of its own. Restarts stay
# unbounded: a pool whose only worker has used them up waits for ever without a word (measured, Ray 2.60).
READ_RETRIES = 1
MAX_LOST_BLOCKS = 100  # of one pass: more is no bad clip but a bad machine
_KILLED = "expected words, but each process that was given this clip alone was killed; check the file"

Progress = Callable[[], None]


@dataclass(frozen=True)
class Plan:
    """How items are labelled.

    `workers` engines and `readers` reading tasks work at a time; a shard is written every `shard_s` seconds
    of audio, and an engine is given `batch_clips` clips at a time, which it cuts into batches of its own.
    """

    engine: EngineSource
    options: DecodingOptions
    workers: int = 1
    readers: int = 1
    gpus_per_worker: float = 0.0
    max_pause_s: float | None = None
    shard_s: float = 600.0
    batch_clips: int = 64


def label_items(items: Sequence[Item], plan: Plan, shards: Shards, progress: Progress) -> None:
    """Label every one of `items` that `shards` (opened) lacks; `progress` is called after each shard.

    Raises LabellingError where the engine cannot be loaded or its processes keep dying.
    """
    todo = _unfinished(items, shards)
    _pass(todo, plan, shards, progress)
    while left := _unfinished(todo, shards):
        _pass(left, plan, shards, progress, alone=True)
        todo = _unfinished(left, shards)
        if len(todo) == len(left):  # nothing arrives any more
            reasons = [Rejected(i.id, i.source, f"{i.source}: {_KILLED}.", i.split) for i in left]
            shards.commit(LABEL_SCHEMA.empty_table(), [i.id for i in left], reasons)
            progress()


def _unfinished(items: Sequence[Item], shards: Shards) -> list[Item]:
    done = shards.done()
    return [item for item in items if item.id not in done]


def _pass(
    items: Sequence[Item], plan: Plan, shards: Shards, progress: Progress, *, alone: bool = False
) -> None:
    """Label `items` and commit what arrives; `alone` gives each item tasks of its own, one at a time."""
    collector = Collector()
    for table in _labelled(items, plan, alone):
        collector.add(table)
        if collector.audio_s >= plan.shard_s:
            _commit(collector, shards, progress)
    if len(collector):
        _commit(collector, shards, progress)


def _commit(collector: Collector, shards: Shards, progress: Progress) -> None:
    finished = collector.pop_finished()
    shards.commit(finished.rows, finished.items, finished.rejected)
    progress()


def _labelled(items: Sequence[Item], plan: Plan, alone: bool) -> Iterator[pa.Table]:
    """Yield rows of LABEL_SCHEMA as they are made, in the order of `items`."""
    if not items:
        return
    step = 1 if alone else READ_ITEMS
    tables = [item_table(items[at : at + step]) for at in range(0, len(items), step)]
    try:
        with ray_data_settings():
            dataset = _assemble(tables, plan, alone)
            yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    except ray.exceptions.RayError as e:
        raise LabellingError(
            f"expected the teacher to label, got processes that ended: {_cause(e)}; labels so far are kept."
        ) from e


def _assemble(tables: Sequence[pa.Table], plan: Plan, alone: bool) -> ray.data.Dataset:
    read = ray.data.from_arrow(list(tables)).map_batches(
        read_stage,
        fn_kwargs={"max_pause_s": plan.max_pause_s},
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=CPUS_EACH,
        compute=ray.data.TaskPoolStrategy(size=plan.readers),
        max_retries=READ_RETRIES,
    )
    return read.map_batches(
        LabelStage,
        fn_constructor_kwargs={"source": plan.engine, "options": plan.options},
        batch_size=1 if alone else plan.batch_clips,
        batch_format="pyarrow",
        num_cpus=CPUS_EACH,
        num_gpus=plan.gpus_per_worker,
        # A dying worker loses what waits for it too: alone, nothing waits.
        compute=ray.data.ActorPoolStrategy(
            size=plan.workers, max_tasks_in_flight_per_actor=1 if alone else None
        ),
        max_restarts=-1,
        max_task_retries=0,
    )


@contextmanager
def ray_data_settings() -> Iterator[None]:
    """Have Ray Data keep the order, go on past lost blocks and stay silent; restore its settings after."""
    with warnings.catch_warnings():
        # Bounds on retries can be given in no other way yet: the parameters that replace these lack them.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        # Ray Data warns of fields of its own whenever it makes or copies its context.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"ray\.data")
        context = ray.data.DataContext.get_current()
        with (
            _silenced(logging.getLogger("ray.data")),
            _set(context, enable_progress_bars=False, print_on_execution_start=False),
            _set(context, max_errored_blocks=MAX_LOST_BLOCKS),
            _set(context.execution_options, preserve_order=True),
        ):
            yield


@contextmanager
def _silenced(log: logging.Logger) -> Iterator[None]:
    level = log.level
    log.setLevel(logging.CRITICAL)  # unlike an assignment to `level`, this clears the cache of the logger
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def _set(owner: object, **values: object) -> Iterator[None]:
    before = {name: getattr(owner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def _cause(error: ray.exceptions.RayError) -> str:
    """Return the last line of Ray's message, which names the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    return last.partition(": ")[2] if last.startswith("voxray.errors.") else last
