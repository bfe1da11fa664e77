"""Shards: how labels reach the disk, each exactly once, however often the job is killed.

    labelled/shard-00003-<binding>.parquet   rows; as metadata, the items it finishes and what was rejected
    rejected/rejected.parquet, rejected.jsonl   id, source, reason, gathered from the shards at the end

A shard is one file that appears by renaming: its rows, its finished items and its rejected ones appear
together or not at all. One process, holding the lock, writes. So an item is done iff a shard says so, and
what is not done is all that a new run takes up. Shards of another binding (teacher, options) are stale and
removed.
"""

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from voxray.corpora.items import Rejected
from voxray.corpora.labelled import SCHEMA
from voxray.errors import OutputError
from voxray.files import atomic_file

ROW_GROUP_ROWS = 32  # at most 31 MB: what reading one clip costs
_DONE, _REJECTED = b"voxray.items", b"voxray.rejected"


class Shards:
    """The shards of one labelling under `out`, all with the same `binding`."""

    def __init__(self, out: Path, binding: str) -> None:
        self.out = out
        self.folder = out / "labelled"
        self.binding = binding

    @contextmanager
    def open(self) -> Iterator["Shards"]:
        """Hold the lock; sweep what a killed run or another binding left. OutputError where it is held."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.out / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as e:
                raise OutputError(
                    f"{self.out}: expected to write alone, and another job is labelling there; wait for it."
                ) from e
            own = set(self.files())
            for file in self.folder.glob("shard-*"):
                if file not in own:
                    file.unlink()
            yield self

    def files(self) -> list[Path]:
        """Finished shards, in order."""
        return sorted(self.folder.glob(f"shard-*-{self.binding}.parquet"))

    def done(self) -> set[str]:
        """Ids of the items that are finished."""
        return {item for file in self.files() for item in _metadata(file, _DONE)}

    def rejected(self) -> list[Rejected]:
        """What the shards say was rejected."""
        return [Rejected(**row) for file in self.files() for row in _metadata(file, _REJECTED)]

    def commit(self, rows: pa.Table, items: Sequence[str], rejected: Sequence[Rejected]) -> Path:
        """One more shard: labelled `rows`, the `items` that are finished with it, and what was rejected."""
        file = self.folder / f"shard-{len(self.files()):05d}-{self.binding}.parquet"
        _write(file, rows.select(SCHEMA.names).cast(SCHEMA), items, rejected)
        return file

    def take_back_rejected(self) -> None:
        """Count items that were rejected whole as not done, so that the next run tries them again."""
        for file in self.files():
            items, rejected = _metadata(file, _DONE), [Rejected(**r) for r in _metadata(file, _REJECTED)]
            back = {r.id for r in rejected} & set(items)
            if back:
                kept = [r for r in rejected if r.id not in back]
                _write(file, pq.read_table(file), [i for i in items if i not in back], kept)


def _write(file: Path, rows: pa.Table, items: Sequence[str], rejected: Sequence[Rejected]) -> None:
    notes = {
        _DONE: json.dumps(list(items)).encode(),
        _REJECTED: json.dumps([asdict(r) for r in rejected]).encode(),
    }
    table = rows.replace_schema_metadata(notes)
    with atomic_file(file) as part:
        pq.write_table(table, part, row_group_size=ROW_GROUP_ROWS, compression="zstd")


def write_rejected(out: Path, rejected: Sequence[Rejected]) -> None:
    """`rejected/rejected.parquet` and `rejected.jsonl` under `out`: id, source, reason."""
    rows = [{"id": r.id, "source": r.source, "reason": r.reason} for r in rejected]
    (out / "rejected.jsonl").write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
    (out / "rejected").mkdir(exist_ok=True)
    schema = pa.schema([(name, pa.string()) for name in ("id", "source", "reason")])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out / "rejected" / "rejected.parquet")


def _metadata(file: Path, key: bytes) -> list[Any]:
    try:
        found = pq.read_schema(file).metadata or {}
        return list(json.loads(found[key]))
    except (pa.ArrowException, KeyError, ValueError) as e:
        raise OutputError(f"{file}: expected a shard of labels, and it is damaged ({e}); remove it.") from e
