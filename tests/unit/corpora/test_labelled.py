"""Labelled corpora: what is read back, from which row groups, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from voxray.corpora.labelled import SCHEMA, read_clips, read_table
from voxray.errors import CorpusError
from voxray.transcript import Segment, Word


def row(name: str, **values: Any) -> dict[str, Any]:
    word = {"text": name, "start_s": 0.5, "end_s": 1.0}
    audio = np.arange(4, dtype="<i2").tobytes()
    empty = dict.fromkeys(SCHEMA.names)
    return (
        empty | {"id": name, "audio": audio, "pseudo_text": name, "language": "en", "words": [word]} | values
    )


def write(folder: Path, names: list[str], file: str = "shard-0.parquet", rows: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([row(n) for n in names], schema=SCHEMA)
    pq.write_table(table, folder / file, row_group_size=rows)
    return folder / file


def test_clips_come_back_with_the_teachers_text_and_words(tmp_path: Path) -> None:
    write(tmp_path, ["a"])
    (clip,) = read_clips(tmp_path)
    assert (clip.id, clip.text, clip.speaker, clip.words) == ("a", "a", "", (Word("a", 0.5, 1.0),))
    np.testing.assert_array_equal(clip.pcm, np.arange(4, dtype=np.int16))
    assert clip.pcm.flags.writeable


def test_clips_have_the_teachers_segments_their_task_and_the_text_before_them(tmp_path: Path) -> None:
    samples = {"audio": bytes(2 * 32_000), "recording": "x", "split": "train", "task": "translate"}
    segments = [{"start_s": 0.5, "end_s": 1.0, "text": "a"}, {"start_s": 1.0, "end_s": 2.0, "text": "b"}]
    rows = [
        row("x#0", **samples, start_s=0.0, end_s=2.0, segments=segments),
        row(
            "x#1", **samples, start_s=2.5, end_s=4.5, segments=[segments[0] | {"start_s": 0.0, "end_s": 2.0}]
        ),
        row("x#2", **samples, start_s=5.0, end_s=7.0),
    ]
    pq.write_table(pa.Table.from_pylist(rows[:1], schema=SCHEMA), tmp_path / "shard-0.parquet")
    pq.write_table(pa.Table.from_pylist(rows[1:], schema=SCHEMA), tmp_path / "shard-1.parquet")
    first, second, third = read_clips(tmp_path)
    assert first.segments == (Segment(0.5, 1.0, "a"), Segment(1.0, 2.0, "b"))
    assert (second.segments, third.segments) == ((), ())  # one over the whole clip has no times
    assert [c.task for c in (first, second, third)] == ["translate"] * 3
    assert [c.previous for c in (first, second, third)] == ["", "x#0", "x#1"]
    assert [c.previous for c in read_clips(tmp_path, ["x#0", "x#2"])] == ["", ""]  # x#1 was dropped


def test_only_the_clips_asked_for_are_read_from_all_shards(tmp_path: Path) -> None:
    write(tmp_path, ["a", "b", "c", "d", "e"])
    write(tmp_path, ["f", "g"], "shard-1.parquet")
    assert [c.id for c in read_clips(tmp_path, {"g", "d", "a"})] == ["a", "d", "g"]


def test_the_table_is_sorted_and_has_all_but_the_audio(tmp_path: Path) -> None:
    write(tmp_path / "labelled", ["b", "a"])
    table = read_table(tmp_path)
    assert table["id"].to_pylist() == ["a", "b"]
    assert set(table.column_names) == set(SCHEMA.names) - {"audio"}


def test_a_clip_that_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path, ["a"])
    with pytest.raises(CorpusError, match="expected the clip 'z'"):
        list(read_clips(tmp_path, ["a", "z"]))


def test_what_is_no_labelled_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="got none; run pseudo_label"):
        read_table(tmp_path / "missing")
    file = write(tmp_path, ["a"])
    pq.write_table(pa.table({"id": ["a"]}), file)
    with pytest.raises(CorpusError, match=r"without column .audio.; run pseudo_label"):
        read_table(tmp_path)
    file.write_bytes(b"PAR1 no parquet at all")
    with pytest.raises(CorpusError, match="expected a parquet shard"):
        list(read_clips(tmp_path))
