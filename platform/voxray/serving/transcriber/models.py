"""The models that a transcriber has loaded beside its default: a bounded number.

    find --not loaded--> load --files--> ModelLoader (in threads) --> release, when its jobs are done

Models are loaded one after another. Where there is no room for another one, a model gets no more jobs, is
dropped once those that it has are done, and only then the other is loaded: at no time are there more than the
bounds allow. It is one that no live session uses, if there is any; else one whose files are still there, so
that it can be loaded again; and of these that which was used longest ago. A model that was loaded gets the
jobs that waited for it before it may be dropped, so that more models than there is room for take turns.

A model whose files are gone, as those of a deleted training, is dropped as soon as no live session uses it.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from voxray.audio import Pcm
from voxray.errors import ServiceError
from voxray.serving.observe import Observe, unobserved
from voxray.serving.protocol import Job, ModelDescription
from voxray.serving.transcriber.scheduler import Group
from voxray.streaming.events import Hypothesis
from voxray.whisper.engines import DecodingOptions, DecodingResult

log = logging.getLogger(__name__)


class BatchDecoder(Protocol):
    """Decodes, in as many threads at a time as the service has; `group` and `file_batches` are quick."""

    @property
    def description(self) -> ModelDescription:
        """What the model is made for."""
        ...

    def group(self, job: Job) -> Group:
        """Return what `job` shares with the others of its batch."""
        ...

    def decode(self, jobs: Sequence[Job]) -> list[Hypothesis | None]:
        """Return one hypothesis per job of one group, in order; None where a job cannot be decoded."""
        ...

    def file_batches(self, clips: Sequence[Pcm]) -> Iterator[list[int]]:
        """Yield indices of clips that are transcribed in one go."""
        ...

    def transcribe(self, clips: Sequence[Pcm], options: DecodingOptions) -> list[DecodingResult]:
        """Return one result per clip, in order."""
        ...

    def close(self) -> None:
        """Free the model's memory; nothing is decoded after that."""
        ...


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where a model is, and the bytes of its weights."""

    folder: Path
    bytes: int


class ModelLoader(Protocol):
    """Finds and loads models by their names. It is called from threads, and may take long."""

    def files(self, name: str) -> ModelFiles:
        """Return the files of a model, which may have to be fetched or converted."""
        ...

    def load(self, files: ModelFiles) -> BatchDecoder:
        """Load a model."""
        ...


class JobCounter:
    """The jobs that need a model."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()

    def add(self) -> None:
        """Count one more."""
        self._count += 1
        self._none.clear()

    def remove(self) -> None:
        """Count one fewer."""
        self._count -= 1
        if not self._count:
            self._none.set()

    async def wait_until_none(self) -> None:
        """Return as soon as there are none."""
        if self._count:
            await self._none.wait()


@dataclass(frozen=True, eq=False, slots=True)
class LoadedModel:
    """A model in memory, which stays there as long as jobs need it."""

    decoder: BatchDecoder
    files: ModelFiles | None = None
    jobs: JobCounter = field(default_factory=JobCounter)

    @property
    def bytes(self) -> int:
        """The bytes of its weights, where it counts."""
        return self.files.bytes if self.files else 0

    @property
    def is_gone(self) -> bool:
        """Whether its files are gone, so that it could not be loaded again. This looks at the disk."""
        return self.files is not None and not self.files.folder.exists()

    def acquire(self) -> "LoadedModel":
        """Keep the model for one job more, until `release`; return it."""
        self.jobs.add()
        return self

    def release(self) -> None:
        """One job needs the model no more."""
        self.jobs.remove()


@dataclass(frozen=True, eq=False, slots=True)
class LoadingModel:
    """A model that is being loaded, and the jobs that wait for it."""

    task: "asyncio.Task[LoadedModel]"
    jobs: JobCounter


class ModelCache:
    """At most `count` models with at most `bytes` of weights in all.

    `observe` receives `model_load_s` of each model that was loaded, the wait for room and files left out.
    """

    def __init__(
        self,
        loader: ModelLoader | None = None,
        observe: Observe = unobserved,
        *,
        count: int = 0,
        bytes: int = 0,
    ) -> None:
        self._loader, self._observe, self._count, self._bytes = loader, observe, count, bytes
        self._models: dict[str, LoadedModel] = {}  # the one that was used longest ago comes first
        self._loading: dict[str, LoadingModel] = {}
        self._one_by_one = asyncio.Lock()
        self._in_use: dict[int, frozenset[str]] = {}  # by lease
        self._dropping: set[asyncio.Task[None]] = set()

    @property
    def descriptions(self) -> Mapping[str, ModelDescription]:
        """The loaded models, by name."""
        return {name: model.decoder.description for name, model in self._models.items()}

    def find(self, name: str) -> LoadedModel | None:
        """Return a model that is loaded, which is then the last used one; None for any other."""
        if model := self._models.pop(name, None):
            self._models[name] = model
        return model

    def use(self, lease: int, models: frozenset[str]) -> None:
        """Keep `models`, which the sessions of a lease use, if there is room; not those that it used before.

        Call `end_lease` at the end of the lease.
        """
        self._in_use[lease] = models
        task = asyncio.create_task(self._drop_gone())
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    def end_lease(self, lease: int) -> None:
        """Keep no model any longer because of a lease. Its next one may be here, so that none is dropped."""
        self._in_use.pop(lease, None)

    async def load(self, name: str) -> LoadedModel:
        """Return a model, loaded if it was not, and acquired for the caller, who must release it.

        Raises ServiceError where it cannot be loaded. Loading goes on when the caller is cancelled.
        """
        if model := self.find(name):
            return model.acquire()
        if name not in self._loading:
            jobs = JobCounter()
            task = asyncio.create_task(self._load(name, jobs))
            self._loading[name] = LoadingModel(task, jobs)
            task.add_done_callback(lambda done: self._loaded(name, done))
        loading = self._loading[name]
        loading.jobs.add()
        try:
            return await asyncio.shield(loading.task)
        except BaseException:
            loading.jobs.remove()
            raise

    def _loaded(self, name: str, task: "asyncio.Task[LoadedModel]") -> None:
        del self._loading[name]
        if not task.cancelled() and (error := task.exception()):
            log.warning("%s", error)

    async def _load(self, name: str, jobs: JobCounter) -> LoadedModel:
        try:
            if not self._loader:
                raise ServiceError("expected the default model, as there is no other, got another name.")
            files = await asyncio.to_thread(self._loader.files, name)
            async with self._one_by_one:
                await self._make_room(files.bytes)
                began_s = time.monotonic()
                decoder = await asyncio.to_thread(self._loader.load, files)
                took_s = time.monotonic() - began_s
                model = self._models[name] = LoadedModel(decoder, files, jobs)
        except Exception as e:  # of whatever kind: the sessions that wait for the model get it as a sentence
            why = " ".join(str(e).split()) or type(e).__name__
            raise ServiceError(f"model {name!r}: expected one that can be loaded, got an error: {why}") from e
        self._observe("model_load_s", took_s)
        log.info("loaded %s in %.2f s", name, took_s)
        return model

    async def _make_room(self, size: int) -> None:
        """Drop models until one of `size` bytes may be loaded. Raises ServiceError if it never may."""
        if size > self._bytes or not self._count:
            limits = f"{self._count} models of at most {self._bytes} bytes in all"
            raise ServiceError(f"expected {limits} beside the default, got one of {size} bytes.")
        while len(self._models) >= self._count or size + self._used_bytes > self._bytes:
            gone = await self._gone()
            await self._drop(min(self._models, key=lambda name: self._need(name, gone)))

    def _need(self, name: str, gone: frozenset[str]) -> int:
        """Return how much a model is needed in memory; equals are in the order in which they were used."""
        in_use = any(name in models for models in self._in_use.values())
        return in_use * (2 if name in gone else 1)

    async def _drop_gone(self) -> None:
        """Drop the models that no session uses and that cannot be loaded again."""
        async with self._one_by_one:
            gone = await self._gone()
            for name in [n for n in gone if n in self._models and not self._need(n, gone)]:
                await self._drop(name)

    async def _gone(self) -> frozenset[str]:
        models = dict(self._models)
        return await asyncio.to_thread(lambda: frozenset(n for n, model in models.items() if model.is_gone))

    async def _drop(self, name: str) -> None:
        """Give a model no more jobs, and free its memory once those that it has are done."""
        model = self._models.pop(name)
        await model.jobs.wait_until_none()
        await asyncio.to_thread(model.decoder.close)
        log.info("dropped %s", name)

    @property
    def _used_bytes(self) -> int:
        return sum(model.bytes for model in self._models.values())
