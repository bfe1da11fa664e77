"""The models that a transcriber has loaded beside its default: a bounded number, the last used ones.

    find --not loaded--> load --files--> ModelLoader (in threads) --> find

Models are loaded one after another. Where there is no room for another one, that which was used longest ago
gets no more work, is dropped once its queued and running jobs are done, and only then the other is loaded: at
no time are there more than the bounds allow.
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


@dataclass(eq=False, slots=True)
class LoadedModel:
    """A model in memory. Call `acquire` for each job that is queued for it, and `release` when it is done."""

    decoder: BatchDecoder
    bytes: int = 0
    _jobs: int = 0
    _unused: asyncio.Event = field(default_factory=asyncio.Event)

    def acquire(self) -> "LoadedModel":
        """Keep the model for one job more; return it."""
        self._jobs += 1
        self._unused.clear()
        return self

    def release(self) -> None:
        """One job needs the model no more."""
        self._jobs -= 1
        if not self._jobs:
            self._unused.set()

    async def wait_until_unused(self) -> None:
        """Return as soon as no job needs the model."""
        if self._jobs:
            await self._unused.wait()


class ModelCache:
    """At most `count` models with at most `bytes` of weights in all."""

    def __init__(self, loader: ModelLoader | None = None, *, count: int = 0, bytes: int = 0) -> None:
        self._loader, self._count, self._bytes = loader, count, bytes
        self._models: dict[str, LoadedModel] = {}  # the one that was used longest ago comes first
        self._loading: dict[str, asyncio.Task[None]] = {}
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

    async def load(self, name: str) -> None:
        """Load a model. Call `find` next: when others are loaded at once, it may be dropped again by then.

        Raises ServiceError where it cannot be loaded. It goes on when the caller is cancelled.
        """
        if name in self._models:
            return
        if name not in self._loading:
            task = self._loading[name] = asyncio.create_task(self._load(name))
            task.add_done_callback(lambda done: self._loaded(name, done))
        await asyncio.shield(self._loading[name])

    def _loaded(self, name: str, task: "asyncio.Task[None]") -> None:
        del self._loading[name]
        if not task.cancelled() and (error := task.exception()):
            log.warning("%s", error)

    async def _load(self, name: str) -> None:
        try:
            if not self._loader:
                raise ServiceError("expected the default model, as there is no other, got another name.")
            files = await asyncio.to_thread(self._loader.files, name)
            async with self._one_by_one:
                await self._make_room(files.bytes)
                began_s = time.monotonic()
                decoder = await asyncio.to_thread(self._loader.load, files)
                self._models[name] = LoadedModel(decoder, files.bytes)
        except Exception as e:  # of whatever kind: the sessions that wait for the model get it as a sentence
            why = " ".join(str(e).split()) or type(e).__name__
            raise ServiceError(f"model {name!r}: expected one that can be loaded, got an error: {why}") from e
        log.info("loaded %s in %.2f s", name, time.monotonic() - began_s)

    async def _make_room(self, size: int) -> None:
        """Drop models until one of `size` bytes may be loaded. Raises ServiceError if it never may."""
        if size > self._bytes or not self._count:
            limits = f"{self._count} models of at most {self._bytes} bytes in all"
            raise ServiceError(f"expected {limits} beside the default, got one of {size} bytes.")
        while len(self._models) >= self._count or size + self._used_bytes > self._bytes:
            name = next(iter(self._models))
            await self._models.pop(name).wait_until_unused()
            log.info("dropped %s", name)

    @property
    def _used_bytes(self) -> int:
        return sum(model.bytes for model in self._models.values())
