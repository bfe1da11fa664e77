"""Audio inside a larger file: a cell of a parquet or Arrow table, or a member of a tar.

    FILE.parquet#COLUMN/ROW    FILE.arrow#COLUMN/ROW    FILE.tar#MEMBER

FILE is an absolute path or a URL, and ROW counts from 0. Each process keeps the files that it read last open,
with the rows around the last one, so that clips in the order of their file cost one pass over it. In memory
are only those rows and the page of the file that they are decoded from.
"""

import re
import tarfile
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any, Protocol
from weakref import finalize

import pyarrow as pa
import pyarrow.parquet as pq

from voxray.corpora import places
from voxray.corpora.manifests import resolve_path
from voxray.errors import CorpusError, VoxrayError

_SOURCE = re.compile(r"(?P<file>.+?\.(?P<kind>parquet|arrow|tar))#(?P<part>.+)", re.DOTALL | re.IGNORECASE)
_OPEN_FILES = 8
_ROWS = 8  # decoded at once: 8 MB at 30 s of uncompressed audio each
_BUFFER_BYTES = 1 << 20  # without it, a whole row group of a column is read at once
_ARROW_FILE = (
    b"ARROW1"  # the magic of Arrow's file format; its stream format, which `datasets` writes, has none
)


def cell_source(file: str, column: str, row: int) -> str:
    """Return the source of the audio in a cell of a table."""
    return f"{file}#{column}/{row}"


def member_source(file: str, member: str) -> str:
    """Return the source of a member of a tar."""
    return f"{file}#{member}"


def read_bytes(source: str) -> bytes:
    """Read an item's source, a whole file or what lies in one; raise OSError or CorpusError."""
    inside = _SOURCE.fullmatch(source)
    if inside is None or (not places.scheme(source) and Path(source).is_file()):
        return places.read_bytes(source)
    file, part = inside["file"], inside["part"]
    stamp = places.modified_ns(file)
    with reading(file):
        if inside["kind"].lower() == "tar":
            return _members(file, stamp).read(part)
        column, _, row = part.rpartition("/")
        cell = _cells(file, column, stamp).read(int(row))
    return _audio(cell, source, file)


@contextmanager
def reading(file: str) -> Iterator[None]:
    """Turn whatever goes wrong with a table or tar into one CorpusError that names `file`."""
    try:
        yield
    except VoxrayError:
        raise
    except FileNotFoundError as e:
        raise CorpusError(f"{file}: expected a file, got none.") from e
    except Exception as e:  # those of pyarrow and tarfile, and each driver has errors of its own
        kind = file.rpartition(".")[2]
        text = " ".join(str(e).split()) or type(e).__name__
        raise CorpusError(f"{file}: expected a {kind} file, got one that cannot be read ({text}).") from e


def open_parquet(file: str) -> pq.ParquetFile:
    """Open a parquet file on a disk or under a URL, for reading a few rows at a time."""
    return pq.ParquetFile(
        pa.OSFile(file) if not places.scheme(file) else places.open_file(file),
        pre_buffer=False,
        buffer_size=_BUFFER_BYTES,
    )


def map_arrow(file: str) -> pa.Table:
    """Map an Arrow file, of the stream or the file format, into memory; raise CorpusError under a URL."""
    if places.scheme(file):
        raise CorpusError(
            f"{file}: expected an Arrow file on a local disk, which is mapped into memory, got a URL; "
            "copy it, or write the dataset with to_parquet."
        )
    mapped = pa.memory_map(file)
    is_file = mapped.read(len(_ARROW_FILE)) == _ARROW_FILE
    mapped.seek(0)
    return (pa.ipc.open_file(mapped) if is_file else pa.ipc.open_stream(mapped)).read_all()


def _audio(cell: Any, source: str, file: str) -> bytes:
    """Return the audio of a cell, which is its bytes or, as in Hugging Face's Audio, has them or a path."""
    content = cell.get("bytes") if isinstance(cell, Mapping) else cell
    if isinstance(content, bytes):
        return content
    path = cell.get("path") if isinstance(cell, Mapping) else None
    if not path:
        raise CorpusError(f"{source}: expected the bytes of a clip in this row, got none.")
    return places.read_bytes(resolve_path(path, file, source))


class _Cells(Protocol):
    def read(self, row: int) -> Any: ...


@lru_cache(maxsize=_OPEN_FILES)
def _cells(file: str, column: str, stamp: int) -> _Cells:
    """Open a column of a table; `stamp` ends what is remembered of a file that was written again."""
    return _ParquetCells(file, column) if file.lower().endswith(".parquet") else _ArrowCells(file, column)


class _ArrowCells:
    def __init__(self, file: str, column: str) -> None:
        self._cells = map_arrow(file)[column]

    def read(self, row: int) -> Any:
        return self._cells[row].as_py()


class _ParquetCells:
    """A column of a parquet file, decoded a few rows at a time, of which a whole page is held.

    The last two of these batches are kept: several threads ask for neighbouring rows in any order.
    """

    def __init__(self, file: str, column: str) -> None:
        self._file, self._column = open_parquet(file), column
        metadata = self._file.metadata
        sizes = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
        self._starts = list(accumulate(sizes, initial=0))
        self._lock = Lock()
        self._held: deque[tuple[int, pa.Array]] = deque(maxlen=2)
        self._next = 0
        self._batches: Iterator[pa.RecordBatch] = iter(())

    def read(self, row: int) -> Any:
        with self._lock:
            if not any(start <= row < start + len(cells) for start, cells in self._held):
                self._decode(row)
            start, cells = next(h for h in self._held if h[0] <= row < h[0] + len(h[1]))
            return cells[row - start].as_py()

    def _decode(self, row: int) -> None:
        group = bisect_right(self._starts, row) - 1
        if not self._held or row < self._next or self._next < self._starts[group]:
            self._held.clear()
            self._next = self._starts[group]
            groups = range(group, len(self._starts) - 1)
            self._batches = self._file.iter_batches(_ROWS, row_groups=groups, columns=[self._column])
        while self._next <= row:
            cells = next(self._batches).column(0)
            self._held.append((self._next, cells))
            self._next += len(cells)


@lru_cache(maxsize=_OPEN_FILES)
def _members(file: str, stamp: int) -> "_TarMembers":
    """Open a tar; `stamp` as for `_cells`."""
    return _TarMembers(file)


class _TarMembers:
    """The members of a tar by name; its headers are read as far as the last member that was asked for."""

    def __init__(self, file: str) -> None:
        self._file, opened = file, places.open_file(file)
        finalize(self, opened.close)
        self._tar = tarfile.open(fileobj=opened, mode="r:")  # noqa: SIM115  # open as long as self
        self._found: dict[str, tarfile.TarInfo] = {}
        self._lock = Lock()

    def read(self, name: str) -> bytes:
        with self._lock:
            while name not in self._found:
                member = self._tar.next()
                if member is None:
                    raise CorpusError(f"{self._file}: expected a member {name!r}, got none.")
                self._found.setdefault(member.name, member)
            content = self._tar.extractfile(self._found[name])
            return content.read() if content else b""
