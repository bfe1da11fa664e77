"""From rows as they arrive to whole items: an item goes into a shard only with all of its pieces."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from voxray.corpora.items import Rejected
from voxray.labelling.pieces import LABEL_SCHEMA


@dataclass(frozen=True, slots=True)
class Batch:
    """What one shard takes: labelled rows (LABEL_SCHEMA), whole items, rejected pieces."""

    rows: pa.Table
    items: list[str]
    rejected: list[Rejected]


@dataclass
class Collector:
    """Rows of LABEL_SCHEMA go in with `add`, in any order; whole items come out with `take`.

    An item's pieces may arrive in several tables, because Ray splits large blocks where it likes.
    """

    _open: dict[str, list[pa.Table]] = field(default_factory=dict)
    _whole: dict[str, list[pa.Table]] = field(default_factory=dict)
    audio_s: float = 0.0  # waiting in whole items

    def add(self, table: pa.Table) -> None:
        """The next rows."""
        for item in pc.unique(table["item"]).to_pylist():
            rows = table.filter(pc.equal(table["item"], item))
            self._open.setdefault(item, []).append(rows)
            if sum(t.num_rows for t in self._open[item]) >= rows["parts"][0].as_py():
                self._whole[item] = self._open.pop(item)
                self.audio_s += sum(pc.sum(t["duration_s"]).as_py() or 0.0 for t in self._whole[item])

    def take(self) -> Batch:
        """Every whole item since the last time."""
        tables = [table for parts in self._whole.values() for table in parts]
        rows = pa.concat_tables([LABEL_SCHEMA.empty_table(), *tables])
        items = list(self._whole)
        self._whole, self.audio_s = {}, 0.0
        bad = rows.filter(pc.is_valid(rows["reason"]))
        return Batch(rows.filter(pc.is_null(rows["reason"])), items, _rejected(bad))

    def __len__(self) -> int:
        """How many whole items wait."""
        return len(self._whole)


def _rejected(rows: pa.Table) -> list[Rejected]:
    found: Iterable[dict[str, str]] = rows.select(["id", "source", "reason", "split"]).to_pylist()
    return [Rejected(**row) for row in found]
