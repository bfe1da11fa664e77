"""Which models a client may choose, by its key.

A client sees the models of the settings, and what was trained with its key. One that names no model, or
OpenAI's `whisper-1`, gets the model that the operator gave its key, else the service's default.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from voxray.serving.api_error import ApiError, invalid_field
from voxray.serving.gateway.auth import AccessPolicy
from voxray.serving.model_sources import ModelSources, trained_model
from voxray.serving.settings import WHISPER_1, ServiceArgs
from voxray.serving.trainings.store import TrainingFolder


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A name that a client may give, and the model that it stands for, as `choose` returns it.

    `trained`: with the client's key. `created_at`: in seconds since 1970; 0 where it is not known.
    """

    name: str
    model: str | None
    source: str
    trained: bool = False
    created_at: float = 0.0


class ModelCatalog:
    """The models of a service, as its clients see them."""

    def __init__(self, args: ServiceArgs, policy: AccessPolicy) -> None:
        self._sources, self._policy = ModelSources(args), policy

    async def names(self, key: str | None) -> tuple[str, ...]:
        """Return the names that the client with `key` may give, that of its default model first."""
        return tuple(entry.name for entry in await self.entries(key) if entry.name != WHISPER_1)

    async def entries(self, key: str | None) -> list[CatalogEntry]:
        """Return the models that the client with `key` may choose, its default first."""
        return await asyncio.to_thread(lambda: list(self._entries(key)))

    async def choose(self, asked: str | None, key: str | None) -> str | None:
        """Return the model that a client gets, by the name that jobs have; None for the service's default.

        Raises ApiError 404, which names those that there are.
        """
        given = self._policy.default_model(key)
        name = given if asked in (None, "", WHISPER_1) else asked
        if name is None or name == self._sources.default:
            return None
        if source := self._sources.named.get(name):
            return self._in_jobs(name, source)
        if name == given:
            if await asyncio.to_thread(self._sources.training, name):
                return name
        elif await asyncio.to_thread(self._own, name, self._policy.owner(key)):
            return name
        raise await self.unknown_model(name, key)

    async def unknown_model(self, name: str, key: str | None) -> ApiError:
        """Return the error for a name that is none of those that the client with `key` may give."""
        expected = f"one of {', '.join(await self.names(key))}"
        return invalid_field("model", expected, name, status=404, code="model_not_found")

    def _in_jobs(self, name: str, source: str) -> str | None:
        """Return `name`; None where it is another name of the default, which is loaded already."""
        return None if source == self._sources.default else name

    def _own(self, id: str, owner: str) -> bool:
        training = self._sources.training(id)
        with suppress(FileNotFoundError):  # it was deleted meanwhile
            return training is not None and training.request.owner == owner
        return False

    def _entries(self, key: str | None) -> Iterator[CatalogEntry]:
        default, given = self._sources.default, self._policy.default_model(key)
        entries = {default: CatalogEntry(default, None, default)}
        for name, source in self._sources.named.items():
            entries[name] = CatalogEntry(name, self._in_jobs(name, source), source)
        trainings = self._sources.trainings(self._policy.owner(key))
        if given and (training := self._sources.training(given)):
            trainings.append(training)
        for folder in trainings:
            with suppress(FileNotFoundError):  # it was deleted meanwhile
                entries[folder.id] = _entry(folder)
        first = entries.pop(given or default, None) or entries.pop(default)
        yield from (first, replace(first, name=WHISPER_1), *entries.values())


def _entry(folder: TrainingFolder) -> CatalogEntry:
    source = str(trained_model(folder))
    return CatalogEntry(folder.id, folder.id, source, trained=True, created_at=folder.request.created_at)
