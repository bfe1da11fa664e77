"""The recordings that `voxray transcribe` is given, and the names of what it writes."""

import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import BinaryIO

from voxray.errors import AudioError, OutputError

STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class InputFile:
    """A recording, `-` for stdin, and the name of its output: a path without suffix inside a folder."""

    path: Path
    name: PurePath

    @contextmanager
    def opened(self) -> Iterator[Path | BinaryIO]:
        """Give the file, or what comes through it to its end where it is a pipe or stdin."""
        if self.path != STDIN and not self.path.is_fifo():
            yield self.path
            return
        with TemporaryFile() as spool:  # decoding has to seek
            if self.path == STDIN:
                copyfileobj(sys.stdin.buffer, spool)
            else:
                with self.path.open("rb") as pipe:
                    copyfileobj(pipe, spool)
            yield spool


def input_files(paths: Sequence[Path]) -> list[InputFile]:
    """Return `paths` with the recordings in them in place of folders, by name.

    A recording in a folder keeps its path from there as the name of its output; one that is given by itself
    is named without its folders.
    """
    found = list[InputFile]()
    for path in paths:
        inside = _files_in(path) if path.is_dir() else []
        if path.is_dir() and not inside:
            raise AudioError(f"{path}: expected recordings in the folder, got none.")
        found += inside or [InputFile(path, PurePath("stdin" if path == STDIN else path.stem))]
    return found


def _files_in(folder: Path) -> list[InputFile]:
    from voxray.audio import EXTENSIONS

    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in EXTENSIONS)
    return [InputFile(f, f.relative_to(folder).with_name(f.stem)) for f in files]


def check_names(files: Sequence[InputFile]) -> None:
    """Raise OutputError, naming both, where two of `files` would write the same output.

    Names that differ in case alone are the same, as they are on macOS and Windows.
    """
    taken: dict[str, InputFile] = {}
    for file in files:
        other = taken.setdefault(unicodedata.normalize("NFC", str(file.name)).casefold(), file)
        if other is not file:
            raise OutputError(
                f"{other.path} and {file.path}: expected names that differ without folder and suffix, got "
                f"{file.name} for both; rename one, or transcribe it into another --output."
            )
