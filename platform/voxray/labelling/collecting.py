"""From labelled rows as they arrive to finished items: an item is written only with all of its pieces."""

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from voxray.corpora.items import Rejected
from voxray.labelling.pieces import LABEL_SCHEMA


@dataclass(frozen=True, slots=True)
class FinishedItems:
    """What one shard holds: labelled rows (LABEL_SCHEMA), the items they finish, rejected pieces."""

    rows: pa.Table
    items: list[str]
    rejected: list[Rejected]


@dataclass
class Collector:
    """Groups rows of LABEL_SCHEMA by item: `add` them in any order, `pop_finished` what is complete.

    An item's pieces may arrive in several tables, because Ray splits large blocks where it likes.
    """

    _open: dict[str, list[pa.Table]] = field(default_factory=dict)
    _finished: dict[str, list[pa.Table]] = field(default_factory=dict)
    audio_s: float = 0.0  # of the finished items

    def add(self, table: pa.Table) -> None:
        """Add the next rows."""
        for item in pc.unique(table["item"]).to_pylist():
            rows = table.filter(pc.equal(table["item"], item))
            self._open.setdefault(item, []).append(rows)
            if sum(t.num_rows for t in self._open[item]) >= rows["parts"][0].as_py():
                self._finished[item] = self._open.pop(item)
                self.audio_s += sum(pc.sum(t["duration_s"]).as_py() or 0.0 for t in self._finished[item])

    def pop_finished(self) -> FinishedItems:
        """Remove and return every item that was finished since the last call."""
        tables = [table for parts in self._finished.values() for table in parts]
        rows = pa.concat_tables([LABEL_SCHEMA.empty_table(), *tables])
        items = list(self._finished)
        self._finished, self.audio_s = {}, 0.0
        bad = rows.filter(pc.is_valid(rows["reason"])).select(["id", "source", "reason", "split"])
        return FinishedItems(
            rows.filter(pc.is_null(rows["reason"])), items, [Rejected(**row) for row in bad.to_pylist()]
        )

    def __len__(self) -> int:
        """How many finished items wait."""
        return len(self._finished)
