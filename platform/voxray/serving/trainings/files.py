"""Files that wait for a training, in OpenAI's shape: uploaded first, and named by their id later.

    DIR/.files/ID/file        the archive as it came
    DIR/.files/ID/file.json   its `FileObject` and its owner

Only the key that uploaded a file finds it.
"""

import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field

from voxray.files import atomic_directory

_ID = re.compile(r"file-[0-9a-f]{32}")


class FileObject(BaseModel):
    """A file."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: Literal["fine-tune"] = "fine-tune"
    status: Literal["processed"] = "processed"


class FileList(BaseModel):
    """The files of a key, the newest first."""

    object: Literal["list"] = "list"
    data: tuple[FileObject, ...]
    has_more: Literal[False] = False


class DeletedFile(BaseModel):
    """What is left of one."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class _StoredFile(BaseModel):
    owner: str
    file: FileObject = Field(description="As it is shown.")


class FileStore:
    """The files in a directory of trainings."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / ".files"

    def add(self, source: BinaryIO, name: str, owner: str, now: float) -> FileObject:
        """Copy an upload, and return what it is here."""
        self._directory.mkdir(parents=True, exist_ok=True)
        id = f"file-{secrets.token_hex(16)}"
        with atomic_directory(self._directory / id) as part:
            with (part / "file").open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
                size = out.tell()
            file = FileObject(id=id, bytes=size, created_at=int(now), filename=name)
            (part / "file.json").write_text(_StoredFile(owner=owner, file=file).model_dump_json())
        return file

    def owned_by(self, owner: str) -> tuple[FileObject, ...]:
        """Return the files of one key, the newest first."""
        names = [path.name for path in self._directory.iterdir()] if self._directory.exists() else []
        own = [file for name in names if (file := self.find(name, owner))]
        return tuple(sorted(own, key=lambda file: file.created_at, reverse=True))

    def find(self, id: str, owner: str) -> FileObject | None:
        """Return the file of `owner` with this id, or None."""
        with suppress(FileNotFoundError):
            if _ID.fullmatch(id):
                stored = _StoredFile.model_validate_json((self._directory / id / "file.json").read_text())
                return stored.file if stored.owner == owner else None
        return None

    def open(self, file: FileObject) -> BinaryIO:
        """Open a file; FileNotFoundError if it is deleted meanwhile."""
        return (self._directory / file.id / "file").open("rb")

    def delete(self, file: FileObject) -> None:
        """Remove a file. Trainings that were made of it keep what they unpacked."""
        gone = self._directory / f".deleted-{file.id}"
        with suppress(FileNotFoundError):
            (self._directory / file.id).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
