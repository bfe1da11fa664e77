"""What recipes rely on in clip stores."""

from pathlib import Path

import numpy as np
import pytest

from voxray.corpora.store import Clip, ClipStore, write_store
from voxray.errors import CorpusError


def clip(name: str, samples: int) -> Clip:
    return Clip(name, np.arange(samples, dtype=np.int16), f"text of {name}")


def test_a_store_of_no_clips_is_one(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", [])
    assert (len(store), list(store)) == (0, [])
    with pytest.raises(IndexError):
        store[0]


def test_an_empty_store_among_others_adds_nothing(tmp_path: Path) -> None:
    write_store(tmp_path / "none", [])
    write_store(tmp_path / "two", [clip("a", 3), clip("b", 5)])
    store = ClipStore([tmp_path / "none", tmp_path / "two", tmp_path / "none"])
    assert [c.id for c in store] == ["a", "b"]
    np.testing.assert_array_equal(store[-1].pcm, np.arange(5))


def test_clips_without_samples_lie_between_others(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", [clip("a", 0), clip("b", 4), clip("c", 0)])
    assert [len(c.pcm) for c in store] == [0, 4, 0]
    assert [store.samples(i) for i in range(3)] == [0, 4, 0]


def test_a_folder_that_is_no_store_is_named(tmp_path: Path) -> None:
    write_store(tmp_path / "store", [])
    (tmp_path / "store" / "audio.s16").unlink()
    with pytest.raises(CorpusError, match=r"store: expected a clip store \(audio\.s16, clips\.parquet\)"):
        ClipStore([tmp_path / "store"])
