"""Audio inside larger files is read in order, once, and a few rows at a time."""

import gc
import io
from pathlib import Path
from typing import Any, ClassVar

import fsspec  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]  # as above

from voxray.corpora.embedded import cell_source, read_bytes
from voxray.errors import CorpusError

ROWS, BYTES = 400, 100_000


class CountingFile(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        CountingFileSystem.read_bytes += len(content)
        return content


class CountingFileSystem(MemoryFileSystem):  # type: ignore[misc]  # it has no types
    """A store that counts what is read from it."""

    protocol = "counting"
    store: ClassVar[dict[str, Any]] = {}
    read_bytes = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("counting://").strip("/")

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        opened = super()._open(path, mode, **options)
        return CountingFile(opened.getvalue()) if mode == "rb" else opened


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of one row group; each cell begins with its row."""
    return write_table(tmp_path_factory.mktemp("tables") / "large.parquet")


def write_table(file: Path, **options: int) -> Path:
    noise = np.random.default_rng(0).bytes(BYTES)
    cells = [k.to_bytes(4, "little") + noise for k in range(ROWS)]
    pq.write_table(pa.table({"a/b": cells}), file, use_dictionary=False, **options)
    return file


def row_of(content: bytes) -> int:
    return int.from_bytes(content[:4], "little")


def test_rows_in_any_order(table: Path) -> None:
    order = [0, 1, 3, 2, 399, 5, 200, 199, 201]
    assert [row_of(read_bytes(cell_source(str(table), "a/b", k))) for k in order] == order


def test_of_a_row_group_a_few_rows_are_in_memory(tmp_path: Path) -> None:
    table = write_table(tmp_path / "pages.parquet", write_batch_size=8)  # else all rows are in one page
    gc.collect()
    before, held = pa.total_allocated_bytes(), list[int]()
    for k in range(ROWS):
        read_bytes(cell_source(str(table), "a/b", k))
        held.append(pa.total_allocated_bytes() - before)
    assert max(held) < ROWS * BYTES / 5


def test_neighbours_cost_one_read_of_their_file_under_a_url(table: Path) -> None:
    fsspec.register_implementation("counting", CountingFileSystem, clobber=True)
    fsspec.filesystem("counting").pipe("/large.parquet", table.read_bytes())
    for k in range(ROWS):
        assert row_of(read_bytes(cell_source("counting://large.parquet", "a/b", k))) == k
    assert CountingFileSystem.read_bytes < 1.1 * table.stat().st_size


def test_a_file_that_was_written_again_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    for content in (b"first", b"second"):
        pq.write_table(pa.table({"audio": [content]}), file)
        assert read_bytes(cell_source(str(file), "audio", 0)) == content


def test_a_file_whose_name_looks_like_a_source_is_that_file(tmp_path: Path) -> None:
    file = tmp_path / "take.tar#2.wav"
    file.write_bytes(b"RIFF")
    assert read_bytes(str(file)) == b"RIFF"


@pytest.mark.parametrize("part", ["gone/0", "a/b/400"])
def test_a_cell_that_is_not_there_is_named(table: Path, part: str) -> None:
    with pytest.raises(
        CorpusError, match=r"large\.parquet: expected a parquet file, got one that cannot be read"
    ):
        read_bytes(f"{table}#{part}")
