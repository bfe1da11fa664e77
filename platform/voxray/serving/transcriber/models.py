"""The models that a transcriber has loaded beside its default: a bounded number, the last used ones.

    find --not loaded--> load --files--> ModelLoader (in threads) --> release, when its jobs are done

Models are loaded one after another. Where there is no room for another one, that which was used longest ago
gets no more jobs, is dropped once those that it has are done, and only then the other is loaded: at no time
are there more than the bounds allow. A model that was loaded gets the jobs that waited for it before it may
be dropped, so that more models than there is room for take turns.
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
    bytes: int = 0
    jobs: JobCounter = field(default_factory=JobCounter)

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
    """At most `count` models with at most `bytes` of weights in all."""

    def __init__(self, loader: ModelLoader | None = None, *, count: int = 0, bytes: int = 0) -> None:
        self._loader, self._count, self._bytes = loader, count, bytes
        self._models: dict[str, LoadedModel] = {}  # the one that was used longest ago comes first
        self._loading: dict[str, LoadingModel] = {}
        self._one_by_one = asyncio.Lock()

    @property
    def descriptions(self) -> Mapping[str, ModelDescription]:
        """The loaded models, by name."""
        return {name: model.decoder.description for name, model in self._models.items()}

    def find(self, name: str) -> LoadedModel | None:
        """Return a model that is loaded, which is then the last used one; None for any other."""
        if model := self._models.pop(name, None):
            self._models[name] = model
        return model

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
                model = self._models[name] = LoadedModel(decoder, files.bytes, jobs)
        except Exception as e:  # of whatever kind: the sessions that wait for the model get it as a sentence
            why = " ".join(str(e).split()) or type(e).__name__
            raise ServiceError(f"model {name!r}: expected one that can be loaded, got an error: {why}") from e
        log.info("loaded %s in %.2f s", name, time.monotonic() - began_s)
        return model

    async def _make_room(self, size: int) -> None:
        """Drop models until one of `size` bytes may be loaded. Raises ServiceError if it never may."""
        if size > self._bytes or not self._count:
            limits = f"{self._count} models of at most {self._bytes} bytes in all"
            raise ServiceError(f"expected {limits} beside the default, got one of {size} bytes.")
        while len(self._models) >= self._count or size + self._used_bytes > self._bytes:
            name = next(iter(self._models))
            model = self._models.pop(name)
            await model.jobs.wait_until_none()
            await asyncio.to_thread(model.decoder.close)
            log.info("dropped %s", name)

    @property
    def _used_bytes(self) -> int:
        return sum(model.bytes for model in self._models.values())
