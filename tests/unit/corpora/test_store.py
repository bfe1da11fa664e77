"""Clip stores: everything that a clip says comes back, from stores of earlier versions too."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from voxray.corpora.store import Clip, ClipStore, part_folder, write_store
from voxray.errors import CorpusError
from voxray.transcript import Segment, Word

CLIP = Clip(
    "a",
    np.arange(24_000, dtype=np.int16),
    "one two",
    "anna",
    "de",
    (Word("one", 0.25, 0.5), Word("two", 0.75, 1.25)),
    (Segment(0.25, 0.5, "one"), Segment(0.75, 1.25, "two")),
    "zero",
    "translate",
)
PLAIN = Clip("b", np.zeros(8, np.int16), "")
FIELDS = ("id", "text", "speaker", "language", "words", "segments", "previous", "task")


def told(clip: Clip) -> list[object]:
    return [getattr(clip, name) for name in FIELDS]


def test_clips_come_back_as_they_were_written(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", [CLIP, PLAIN])
    assert [told(clip) for clip in store] == [told(CLIP), told(PLAIN)]
    np.testing.assert_array_equal(store[0].pcm, CLIP.pcm)


def test_a_store_of_an_earlier_version_is_read_with_the_defaults(tmp_path: Path) -> None:
    write_store(tmp_path, [CLIP])
    old = pq.read_table(tmp_path / "clips.parquet").drop_columns(["segments", "previous", "task"])
    pq.write_table(old, tmp_path / "clips.parquet")
    (clip,) = ClipStore([tmp_path])
    assert told(clip) == told(replace(CLIP, segments=(), previous="", task="transcribe"))


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


def test_a_store_in_parts_counts_as_one(tmp_path: Path) -> None:
    write_store(part_folder(tmp_path / "parts", 1), [replace(clip("c", 4), language="fr")])
    write_store(part_folder(tmp_path / "parts", 0), [clip("a", 3), clip("b", 5)])
    write_store(tmp_path / "one", [clip("d", 2)])
    store = ClipStore([tmp_path / "parts", tmp_path / "one"])
    assert store.sizes == (3, 1)
    assert [(c.id, len(c.pcm)) for c in store] == [("a", 3), ("b", 5), ("c", 4), ("d", 2)]
    assert (list(store.ids()), list(store.languages())) == (list("abcd"), ["en", "en", "fr", "en"])


def test_clips_without_samples_lie_between_others(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", [clip("a", 0), clip("b", 4), clip("c", 0)])
    assert [len(c.pcm) for c in store] == [0, 4, 0]
    assert [store.samples(i) for i in range(3)] == [0, 4, 0]


def test_a_folder_that_is_no_store_is_named(tmp_path: Path) -> None:
    write_store(tmp_path / "store", [])
    (tmp_path / "store" / "audio.s16").unlink()
    with pytest.raises(CorpusError, match=r"store: expected a clip store \(audio\.s16, clips\.parquet\)"):
        ClipStore([tmp_path / "store"])
