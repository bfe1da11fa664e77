"""Trainings on disk, a folder each, so that they outlive every process.

    DIR/ID/request.json    what was asked for
    DIR/ID/state.json      written by the supervisor alone once it runs
    DIR/ID/cancelled       is there once the client cancels
    DIR/ID/data/           the audio folder that was uploaded
    DIR/ID/out/            the job's: progress.jsonl, model, report.html, result.json
    DIR/ID/exports/        the model in other formats
    DIR/ID/phase, error    one line each: what the job is doing, and why it ended
    DIR/ID/log             what the job printed
    DIR/.files/            files that wait for a training, of `FileStore`
    DIR/.new-ID            a training that is being made
    DIR/.deleted-ID        one that is being deleted

What begins with a dot is no training.
"""

import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxray.files import atomic_file
from voxray.serving.trainings.progress import TrainingProgress
from voxray.serving.trainings.states import TrainingRequest, TrainingState, TrainingStatus

FORMATS = ("hf", "ct2", "ggml")
SERVED_FORMAT = "ct2"  # which transcribers load
log = logging.getLogger(__name__)

_ID = re.compile(r"train-[0-9a-f]{32}")
_STALE_S = 24 * 3600.0  # after which what a killed gateway was making is removed


def new_id() -> str:
    """Return an id that nobody can guess."""
    return f"train-{secrets.token_hex(16)}"


@dataclass(frozen=True, slots=True)
class TrainingFolder:
    """One training's folder. Methods raise FileNotFoundError once it is deleted."""

    path: Path

    @property
    def id(self) -> str:
        """The training's id."""
        return self.path.name

    @property
    def data(self) -> Path:
        """The uploaded audio folder."""
        return self.path / "data"

    @property
    def out(self) -> Path:
        """The job's folder."""
        return self.path / "out"

    @property
    def log(self) -> Path:
        """What the job printed."""
        return self.path / "log"

    @property
    def request(self) -> TrainingRequest:
        """What was asked for."""
        return TrainingRequest.model_validate_json((self.path / "request.json").read_text())

    @property
    def state(self) -> TrainingState:
        """The state; cancelled from the moment that the client cancels, if it had not ended before."""
        state = self.written_state
        return state.ended(TrainingStatus.CANCELLED, self._cancelled_at()) if self.is_cancelled else state

    @property
    def written_state(self) -> TrainingState:
        """The state as the supervisor wrote it."""
        return TrainingState.model_validate_json((self.path / "state.json").read_text())

    def write_state(self, state: TrainingState) -> None:
        """Write the state. Only the supervisor may, but for the first time."""
        with atomic_file(self.path / "state.json") as part:
            part.write_text(state.model_dump_json())

    @property
    def stored_bytes(self) -> int:
        """The bytes of all its files; those that are deleted meanwhile do not count."""
        total = 0
        for parent, _, names in os.walk(self.path):
            for name in names:
                with suppress(FileNotFoundError):
                    total += os.lstat(os.path.join(parent, name)).st_size
        return total

    @property
    def is_cancelled(self) -> bool:
        """Whether the client cancelled it."""
        return (self.path / "cancelled").exists()

    def cancel(self) -> None:
        """Mark it as cancelled: a supervisor ends within a second, and none begins."""
        (self.path / "cancelled").touch()

    def _cancelled_at(self) -> float:
        return (self.path / "cancelled").stat().st_mtime

    @property
    def progress(self) -> TrainingProgress:
        """How far it is."""
        return TrainingProgress.read(self.out / "progress.jsonl")

    def line(self, name: str) -> str | None:
        """Return the line in the file `phase` or `error`, or None."""
        with suppress(FileNotFoundError):
            return (self.path / name).read_text().strip() or None
        return None

    @property
    def result(self) -> dict[str, Any] | None:
        """The job's result, once it has one."""
        with suppress(FileNotFoundError):
            result: dict[str, Any] = json.loads((self.out / "result.json").read_text())
            return result
        return None

    def model(self, format: str) -> Path | None:
        """Return the folder of the model in this format, if there is one; a failed export leaves it empty."""
        places = {"hf": self.out / "model", "ct2": self.path / "exports" / "ct2"}
        place = places.get(format, self.path / "exports" / "ggml")
        return place if place.is_dir() and any(place.iterdir()) else None


class TrainingStore:
    """All trainings in a directory, which must be on storage that all nodes see."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._directory.mkdir(parents=True, exist_ok=True)

    def find(self, id: str) -> TrainingFolder | None:
        """Return the training with this id, or None."""
        path = self._directory / id
        return TrainingFolder(path) if _ID.fullmatch(id) and path.is_dir() else None

    def all(self) -> list[TrainingFolder]:
        """Return all trainings, in the order of their ids."""
        return [f for path in sorted(self._directory.iterdir()) if (f := self.find(path.name))]

    def owned_by(self, owner: str) -> list[TrainingFolder]:
        """Return the trainings of one key, the newest first."""
        own: list[tuple[float, TrainingFolder]] = []
        for folder in self.all():
            with readable(folder):
                if (request := folder.request).owner == owner:
                    own.append((request.created_at, folder))
        return [folder for _, folder in sorted(own, key=lambda it: it[0], reverse=True)]

    def unfinished(self, among: Iterable[TrainingFolder] | None = None) -> list[TrainingFolder]:
        """Return the trainings that a supervisor has to work on, `among` some or all."""
        found = []
        for folder in self.all() if among is None else among:
            with readable(folder):
                if not folder.state.status.final:
                    found.append(folder)
        return found

    @contextmanager
    def creating(self, request: TrainingRequest) -> Iterator[TrainingFolder]:
        """Yield a folder for a new training's data. It becomes that training if the block ends without an
        error, and else nothing of it is left.
        """
        part = TrainingFolder(self._directory / f".new-{request.id}")
        part.path.mkdir()
        try:
            yield part
            with atomic_file(part.path / "request.json") as file:
                file.write_text(request.model_dump_json())
            part.write_state(TrainingState())
            part.path.rename(self._directory / request.id)
        finally:
            shutil.rmtree(part.path, ignore_errors=True)

    def delete(self, folder: TrainingFolder) -> None:
        """Remove a training and all that it had. Its supervisor must have ended."""
        gone = self._directory / f".deleted-{folder.id}"
        with suppress(FileNotFoundError):
            folder.path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what a killed process left of deleting or making a training."""
        before = time.time() - _STALE_S
        for path in (*self._directory.iterdir(), *self._directory.glob(".files/*")):
            unfinished = path.name.startswith(".new-") or path.suffix == ".part"
            if path.name.startswith(".deleted-") or (unfinished and path.stat().st_mtime < before):
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def readable(folder: TrainingFolder) -> Iterator[None]:
    """End the block at a training that is deleted meanwhile, or a file that this version cannot read."""
    try:
        yield
    except FileNotFoundError:
        return
    except ValueError:  # pydantic's and json's
        log.warning("%s is left out: it cannot be read", folder.path, exc_info=True)
