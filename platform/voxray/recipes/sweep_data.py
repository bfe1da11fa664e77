"""The data of a sweep: one store of all train clips, and for each WER threshold a selection from it.

clips-train             every train clip with the teacher's text, whatever its WER
clips-dev, clips-test   the same for all trials; no trial sees the test clips
selected/wer-10.npy     what a trial with wer_threshold 10 trains on, as ClipSubset takes it
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from voxray.corpora.items import Item, previous_texts
from voxray.corpora.store import ClipStore
from voxray.files import atomic_file
from voxray.recipes.distil import (
    DistilConfig,
    dev_clips,
    ids_in,
    kept_ids,
    referenced_clips,
    train_ids,
    unreferenced_ids,
    write_once,
)
from voxray.recipes.distil_stores import MapParts, write_train_store
from voxray.recipes.learning import train_stores

_PLACE_COLUMNS = ["id", "speaker", "language", "recording", "split", "start_s", "end_s"]


@dataclass(frozen=True, slots=True)
class SweepData:
    """Where the clips of a sweep are, under its `out`."""

    out: Path
    sets: int = 1

    @property
    def train(self) -> tuple[Path, ...]:
        """All train clips, a store for each labelled set."""
        return train_stores(self.out / "clips-train", self.sets)

    @property
    def dev(self) -> Path:
        """The clips that judge every trial."""
        return self.out / "clips-dev"

    @property
    def test(self) -> Path:
        """The clips that only the winner is scored on."""
        return self.out / "clips-test"

    def selected(self, wer_threshold: float | None) -> Path:
        """The selection of a threshold."""
        name = "none" if wer_threshold is None else f"{wer_threshold:g}"
        return self.out / "selected" / f"wer-{name}.npy"

    def write(
        self, tables: Sequence[pa.Table], configs: Sequence[DistilConfig], over: MapParts = map
    ) -> None:
        """Write what is not there yet for `configs`, which differ in what `Hyperparameters` has.

        `over` is that of `write_train_store`.
        """
        sets = configs[0].sets()
        for place, table, its in zip(self.train, tables, sets, strict=True):
            without = unreferenced_ids(table, its)
            candidates = [i for i in train_ids(table, its) if i not in without]
            write_train_store(place, its, candidates, over)
        write_once(self.dev, dev_clips(sets, tables))
        write_once(self.test, referenced_clips(sets, tables, [ids_in(table, "test") for table in tables]))
        stored = [list(ClipStore([place]).ids()) for place in self.train]
        for each in configs:
            file = self.selected(each.wer_threshold)
            file.parent.mkdir(exist_ok=True)
            parts = [
                selection(table, ids, kept_ids(table, its))
                for table, ids, its in zip(tables, stored, each.sets(), strict=True)
            ]
            with atomic_file(file) as part, part.open("wb") as stream:
                np.save(stream, np.concatenate(parts))


def selection(table: pa.Table, ids: Sequence[str], kept: Iterable[str]) -> NDArray[np.bool_]:
    """Say of each of `ids` whether it is `kept`, and whether the clip before it is: booleans (ids, 2).

    The text of a clip that the filter drops is not used as the previous text of the next clip either.
    """
    rows = table.select(_PLACE_COLUMNS).to_pylist()
    before = previous_texts(Item(source="", text=row["id"], **row) for row in rows)  # ids in place of texts
    chosen = set(kept)
    return np.array([(i in chosen, before.get(i) in chosen) for i in ids], dtype=np.bool_).reshape(-1, 2)
