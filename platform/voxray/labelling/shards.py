"""Shards: how labels reach the disk, each exactly once, however often the job is killed.

    labelled/shard-00003-<binding>.parquet   rows; as metadata, the items it finishes and what was rejected
    rejected/rejected.parquet, rejected.jsonl   id, source, reason, gathered from the shards at the end

A shard is one file that appears by renaming: its rows, its finished items and its rejected ones appear
together or not at all. One process, holding the lock, writes. An item is done iff a shard lists it; a new run
labels what is not done, which includes the items of a shard that was removed. Shards of another binding
(teacher, options) are stale and removed.
"""

import fcntl
import json
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from voxray.corpora.items import Rejected
from voxray.corpora.labelled import LOCK, REJECTED, SCHEMA, TEACHER
from voxray.errors import OutputError
from voxray.files import atomic_file

ROW_GROUP_ROWS = 32  # at most 31 MB: what reading one clip costs
_DONE, _REJECTED = b"voxray.items", b"voxray.rejected"


class Shards:
    """The shards of one labelling under `out`, all with the same `binding`.

    Call `open` first; it reads the footers of the shards that are there, and nothing reads them again.
    `teacher` is the digest of the model that labels, for those who train on the labels.
    """

    def __init__(self, out: Path, binding: str, teacher: str = "") -> None:
        self.out = out
        self.teacher = teacher
        self.folder = out / "labelled"
        self.binding = binding
        self._next = 0
        self._done: set[str] = set()
        self._rejected: list[Rejected] = []

    @contextmanager
    def open(self) -> Iterator["Shards"]:
        """Hold the lock, and remove what a killed run or another binding left.

        Raises OutputError where another process holds the lock or a shard is damaged.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.out / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as e:
                raise OutputError(
                    f"{self.out}: expected to write alone, got another job that labels there; wait for it."
                ) from e
            own = set(self.files())
            for file in self.folder.glob("shard-*"):
                if file not in own:
                    file.unlink()
            self._load()
            yield self

    def files(self) -> list[Path]:
        """Return the finished shards in the order in which they were committed."""
        return sorted(self.folder.glob(f"shard-*-{self.binding}.parquet"), key=_number)

    def done(self) -> Set[str]:
        """Return the ids of the items that are finished."""
        return self._done

    def rejected(self) -> Sequence[Rejected]:
        """Return what was rejected, as the shards list it."""
        return self._rejected

    def commit(self, rows: pa.Table, items: Sequence[str], rejected: Sequence[Rejected]) -> Path:
        """Write one more shard: labelled `rows`, the `items` finished with it, and what was rejected."""
        file = self.folder / f"shard-{self._next:05d}-{self.binding}.parquet"
        _write(file, rows.select(SCHEMA.names).cast(SCHEMA), items, rejected, self.teacher)
        self._next += 1
        self._done.update(items)
        self._rejected += rejected
        return file

    def take_back_rejected(self) -> None:
        """Count items that were rejected whole as not done, so that the next run tries them again."""
        for file in self.files():
            items, rejected = _footer(file)
            back = {r.id for r in rejected} & set(items)
            if back:
                kept = [r for r in rejected if r.id not in back]
                _write(file, pq.read_table(file), [i for i in items if i not in back], kept, self.teacher)
        self._load()

    def _load(self) -> None:
        files = self.files()
        footers = [_footer(file) for file in files]
        self._next = _number(files[-1]) + 1 if files else 0  # not their count: one may have been removed
        self._done = {item for items, _ in footers for item in items}
        self._rejected = [r for _, rejected in footers for r in rejected]


def _number(file: Path) -> int:
    return int(file.name.split("-")[1])


def _write(
    file: Path, rows: pa.Table, items: Sequence[str], rejected: Sequence[Rejected], teacher: str
) -> None:
    notes = {
        **({TEACHER: teacher.encode()} if teacher else {}),
        _DONE: json.dumps(list(items)).encode(),
        _REJECTED: json.dumps([asdict(r) for r in rejected]).encode(),
    }
    table = rows.replace_schema_metadata(notes)
    with atomic_file(file) as part:
        pq.write_table(table, part, row_group_size=ROW_GROUP_ROWS, compression="zstd")


def write_rejected(out: Path, rejected: Sequence[Rejected]) -> None:
    """Write `rejected/rejected.parquet` and `rejected.jsonl` under `out`: id, source, reason."""
    rows = [{"id": r.id, "source": r.source, "reason": r.reason} for r in rejected]
    (out / REJECTED).write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
    (out / "rejected").mkdir(exist_ok=True)
    schema = pa.schema([(name, pa.string()) for name in ("id", "source", "reason")])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out / "rejected" / "rejected.parquet")


def _footer(file: Path) -> tuple[list[str], list[Rejected]]:
    """The items that `file` finishes and what was rejected of them; OutputError where it is damaged."""
    try:
        found = pq.read_schema(file).metadata or {}
        return list(json.loads(found[_DONE])), [Rejected(**row) for row in json.loads(found[_REJECTED])]
    except (pa.ArrowException, KeyError, ValueError, TypeError) as e:
        raise OutputError(
            f"{file}: expected a shard of labels, got a damaged one ({e}); remove it and run the job again, "
            "which labels its clips again."
        ) from e
