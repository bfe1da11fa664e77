"""Unpacking an audio folder that a stranger sent, as tar.gz, tar or zip.

Only plain files of audio, texts and tables are written; other files are left out. What climbs out, links,
lies about its size or is larger than the limits raises CorpusError, and is not unpacked any further: the
caller removes what was written so far.
"""

import gzip
import io
import lzma
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from voxray.audio.containers import EXTENSIONS
from voxray.errors import CorpusError

KEPT = EXTENSIONS | {".txt", ".csv", ".tsv", ".jsonl"}
MAX_PATH = 240  # bytes
MAX_DEPTH = 16
MAX_RATIO = 100  # unpacked to packed bytes; speech in WAV reaches 5
FREE_BYTES = 16 << 20  # below which the ratio does not count
HEADER_BYTES = 64 << 10  # of a tar's extended header
DIRECTORY_BYTES = 32 << 20  # of a zip's list of members, which is read into memory
_CHUNK = 1 << 20
_TAIL = 22 + 65_535  # a zip's end record and its comment


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Limits on what an archive unpacks to: its members of any kind, and their bytes."""

    members: int
    unpacked_bytes: int


def unpack(file: BinaryIO, folder: Path, limits: ArchiveLimits) -> int:
    """Unpack the archive in `file` into `folder`, which is made; return how many files were written.

    A folder that all of them are in is left out.

    Raises CorpusError, in one sentence, for what is not an archive or not acceptable.
    """
    packed = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    unpacking = _Unpacking(folder, limits, packed)
    with _archive_errors():
        if head.startswith(b"PK"):
            _unpack_zip(file, unpacking)
        else:
            _unpack_tar(file, unpacking, compressed=head.startswith(b"\x1f\x8b"))
    if not unpacking.written:
        raise CorpusError("data: expected an archive with audio files, got one without any.")
    _drop_outer_folders(folder)
    return unpacking.written


def _drop_outer_folders(folder: Path) -> None:
    """Move what is alone in one folder, as `tar czf mine.tar.gz mine/` makes it, up into `folder`."""
    while len(entries := list(folder.iterdir())) == 1 and entries[0].is_dir():
        part = folder.with_name(f"{folder.name}.part")
        entries[0].rename(part)
        folder.rmdir()
        part.rename(folder)


class _Unpacking:
    """What was unpacked so far, held against the limits."""

    def __init__(self, folder: Path, limits: ArchiveLimits, packed: int) -> None:
        self.folder, self._limits, self._packed = folder, limits, packed
        self._members = self._bytes = 0
        self.written = 0
        folder.mkdir()

    def member(self, name: str) -> Path | None:
        """Count a member; return where it goes, or None if it is left out."""
        self._members += 1
        if self._members > self._limits.members:
            raise CorpusError(
                f"data: expected an archive of at most {self._limits.members} files, got more; split it."
            )
        path = safe_path(name)
        kept = path.suffix.lower() in KEPT and not any(p.startswith((".", "__MACOSX")) for p in path.parts)
        return self.folder.joinpath(*path.parts) if kept else None

    def count(self, size: int) -> None:
        """Count unpacked bytes."""
        self._bytes += size
        if self._bytes > self._limits.unpacked_bytes:
            raise CorpusError(
                f"data: expected an archive that unpacks to at most {self._limits.unpacked_bytes} bytes, got "
                "more; split it."
            )
        if self._bytes > max(FREE_BYTES, MAX_RATIO * self._packed):
            raise CorpusError(
                f"data: expected an archive that unpacks to at most {MAX_RATIO} times its size, got more."
            )

    def write(self, source: IO[bytes], place: Path, size: int, count: Callable[[int], None]) -> None:
        """Write a member's `size` bytes to `place`."""
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as out:
                while chunk := source.read(_CHUNK):
                    count(len(chunk))
                    out.write(chunk)
                got = out.tell()
        except (FileExistsError, NotADirectoryError) as e:
            raise CorpusError(f"data: expected each file once, got {place.name[:80]!r} again.") from e
        if got != size:
            raise CorpusError(f"data: expected {size} bytes of {place.name[:80]!r}, got {got}.")
        self.written += 1


def safe_path(name: str) -> PurePosixPath:
    """Return the path of a member in its folder; CorpusError if it leads out of that or is no good name."""
    path = PurePosixPath(name.replace("\\", "/"))
    parts = [part for part in path.parts if part != "."]
    out = path.is_absolute() or ".." in parts or any(":" in part for part in parts[:1])
    if out or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise CorpusError(f"data: expected paths inside the archive's folder, got {name[:80]!r}.")
    if len(name.encode()) > MAX_PATH or len(parts) > MAX_DEPTH:
        raise CorpusError(
            f"data: expected paths of at most {MAX_PATH} bytes and {MAX_DEPTH} folders, got {name[:80]!r}..."
        )
    return PurePosixPath(*parts)


class _CountedReader(io.RawIOBase):
    """The bytes of a stream, counted as they are read: also those that no member is written from."""

    def __init__(self, source: IO[bytes], count: Callable[[int], None]) -> None:
        self._source, self._count = source, count

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes."""
        chunk = self._source.read(size)
        self._count(len(chunk))
        return chunk


class _Member(tarfile.TarInfo):
    """A member whose header must be small: tarfile reads extended ones into memory, whole."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        extended = self.type in (
            *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
            *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
        )
        if extended and self.size > HEADER_BYTES:
            raise CorpusError(
                f"data: expected headers of at most {HEADER_BYTES} bytes, got one of {self.size}."
            )
        # tarfile documents that subclasses may override it.
        parse: Callable[[tarfile.TarFile], tarfile.TarInfo]
        parse = super()._proc_member  # type: ignore[misc]  # typeshed lacks it
        return parse(tar)


def _unpack_tar(file: BinaryIO, unpacking: _Unpacking, *, compressed: bool) -> None:
    source = cast(IO[bytes], gzip.GzipFile(fileobj=file, mode="rb")) if compressed else file
    stream = _CountedReader(source, unpacking.count)
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as tar:
        for member in tar:
            place = unpacking.member(member.name)
            tarfile.data_filter(member, str(unpacking.folder))
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise _no_plain_file(member.name)
            if place and (content := tar.extractfile(member)):
                unpacking.write(content, place, member.size, lambda size: None)


def _unpack_zip(file: BinaryIO, unpacking: _Unpacking) -> None:
    _check_directory(file)
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            place = unpacking.member(member.filename)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if member.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                raise _no_plain_file(member.filename)
            if member.flag_bits & 1:
                raise CorpusError(f"data: expected files without a password, got {member.filename[:80]!r}.")
            if place:
                with archive.open(member) as content:
                    unpacking.write(content, place, member.file_size, unpacking.count)


def _check_directory(file: BinaryIO) -> None:
    """Check how large the list of members is, before zipfile reads all of it."""
    end = file.seek(0, io.SEEK_END)
    file.seek(max(0, end - _TAIL))
    tail = file.read()
    plain = tail[-22:].startswith(b"PK\5\6") and tail.endswith(b"\0\0")  # no comment, as zipfile looks first
    at = len(tail) - 22 if plain else tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("it has no end")
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    if size > DIRECTORY_BYTES or b"PK\6\7" in tail[max(0, at - 20) : at]:
        raise CorpusError("data: expected a zip of fewer files and bytes, got a larger one; send a tar.gz.")


def _no_plain_file(name: str) -> CorpusError:
    return CorpusError(f"data: expected plain files and folders, got {name[:80]!r}, which is neither.")


@contextmanager
def _archive_errors() -> Iterator[None]:
    try:
        yield
    except tarfile.FilterError as e:
        raise CorpusError(f"data: expected paths inside the archive's folder, got another ({e}).") from e
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as e:
        if isinstance(e, OSError) and e.errno:  # of the disk
            raise
        reason = " ".join(str(e).split())[:200]
        raise CorpusError(f"data: expected a whole tar.gz or zip, got another file ({reason}).") from e
    except (NotImplementedError, RuntimeError, ValueError, struct.error) as e:
        if isinstance(e, CorpusError):
            raise
        reason = " ".join(str(e).split())[:200]
        raise CorpusError(f"data: expected a common tar.gz or zip, got one that is not ({reason}).") from e
