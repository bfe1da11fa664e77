"""Shards: a commit is whole or absent, one writer at a time, and only whole items are taken."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.corpora.items import Rejected
from voxray.corpora.labelled import read_table, teachers
from voxray.errors import OutputError
from voxray.labelling.collecting import Collector
from voxray.labelling.pieces import LABEL_SCHEMA
from voxray.labelling.shards import Shards, write_rejected


def rows(item: str, numbers: range, parts: int, reason: str | None = None) -> pa.Table:
    known = [
        {
            "item": item,
            "parts": parts,
            "id": f"{item}#{k}",
            "source": "/x",
            "duration_s": 1.0,
            "reason": reason,
        }
        for k in numbers
    ]
    return pa.Table.from_pylist([dict.fromkeys(LABEL_SCHEMA.names) | r for r in known], schema=LABEL_SCHEMA)


NONE = LABEL_SCHEMA.empty_table()


def test_done_items_and_rejected_ones_are_found_again(tmp_path: Path) -> None:
    bad = Rejected("b", "/b", "why", "train")
    with Shards(tmp_path, "t1").open() as shards:
        shards.commit(rows("a", range(2), 2), ["a", "b"], [bad])
        shards.commit(rows("c", range(1), 1), ["c"], [])
    with Shards(tmp_path, "t1").open() as again:
        assert again.done() == {"a", "b", "c"}
        assert again.rejected() == [bad]
    assert read_table(tmp_path)["id"].to_pylist() == ["a#0", "a#1", "c#0"]


def test_shards_name_the_teacher_also_once_rejected_items_are_taken_back(tmp_path: Path) -> None:
    with Shards(tmp_path, "t1", "digest").open() as shards:
        shards.commit(rows("a", range(1), 1), ["a", "b"], [Rejected("b", "/b", "gone")])
        shards.take_back_rejected()
    assert teachers(tmp_path) == {"digest"}


def test_items_taken_back_are_not_done_and_their_neighbours_stay(tmp_path: Path) -> None:
    whole, part = Rejected("b", "/b", "gone"), Rejected("a#1", "/a", "a piece")
    with Shards(tmp_path, "t1").open() as shards:
        shards.commit(rows("a", range(1), 2), ["a", "b"], [whole, part])
        shards.take_back_rejected()
        assert (shards.done(), shards.rejected()) == ({"a"}, [part])
    assert read_table(tmp_path)["id"].to_pylist() == ["a#0"]


def test_what_a_killed_run_left_and_other_bindings_are_swept_and_nothing_else(tmp_path: Path) -> None:
    with Shards(tmp_path, "t1").open() as shards:
        shards.commit(rows("a", range(1), 1), ["a"], [])
        (shards.folder / "shard-00001-t1.part").write_bytes(b"half")
        (shards.folder / "notes.txt").write_text("mine")
    with Shards(tmp_path, "t1").open() as same:
        assert {f.name for f in same.folder.iterdir()} == {"shard-00000-t1.parquet", "notes.txt"}
    with Shards(tmp_path, "t2").open() as other:
        assert {f.name for f in other.folder.iterdir()} == {"notes.txt"}
        assert other.done() == set()


def test_after_a_damaged_shard_was_removed_its_items_are_done_again_and_no_other_is_lost(
    tmp_path: Path,
) -> None:
    with Shards(tmp_path, "t1").open() as shards:
        for item in "abcd":
            shards.commit(rows(item, range(1), 1), [item], [])
        shards.files()[1].unlink()
    with Shards(tmp_path, "t1").open() as again:
        assert again.done() == {"a", "c", "d"}
        again.commit(rows("b", range(1), 1), ["b"], [])
        assert again.done() == set("abcd")
    assert read_table(tmp_path)["id"].to_pylist() == ["a#0", "b#0", "c#0", "d#0"]


def test_what_is_known_is_not_read_again(tmp_path: Path) -> None:
    bad = Rejected("b", "/b", "why")
    with Shards(tmp_path, "t1").open() as shards:
        for file in (shards.commit(rows("a", range(1), 1), ["a"], [bad]), shards.commit(NONE, ["b"], [])):
            file.write_bytes(b"no footer to read")
        assert (shards.done(), shards.rejected()) == ({"a", "b"}, [bad])


def test_two_jobs_do_not_write_to_one_place(tmp_path: Path) -> None:
    with (
        Shards(tmp_path, "t1").open(),
        pytest.raises(OutputError, match="another job that labels there"),
        Shards(tmp_path, "t1").open(),
    ):
        pass
    with Shards(tmp_path, "t1").open():
        pass


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    with Shards(tmp_path, "t1").open() as shards:
        shards.commit(rows("a", range(1), 1), ["a"], []).write_bytes(b"PAR1")
    with (
        pytest.raises(OutputError, match=r"shard-00000-t1\.parquet: .* damaged .* remove it"),
        Shards(tmp_path, "t1").open(),
    ):
        pass


def test_rejected_clips_are_written_for_people_and_for_programs(tmp_path: Path) -> None:
    write_rejected(tmp_path, [Rejected("ü", "/ü.wav", "why", "dev")])
    expected = {"id": "ü", "source": "/ü.wav", "reason": "why"}
    assert json.loads((tmp_path / "rejected.jsonl").read_text()) == expected
    assert pq.read_table(tmp_path / "rejected" / "rejected.parquet").to_pylist() == [expected]


@given(st.lists(st.integers(1, 5), max_size=6), st.data())
def test_an_item_is_finished_once_and_only_with_all_of_its_pieces(
    parts: list[int], data: st.DataObject
) -> None:
    pieces = [(k, n) for k, count in enumerate(parts) for n in range(count)]
    order = data.draw(st.permutations(pieces))
    collector, arrived = Collector(), dict.fromkeys(range(len(parts)), 0)
    taken: list[str] = []
    ids: list[str] = []
    for k, n in order:
        collector.add(rows(str(k), range(n, n + 1), parts[k]))
        arrived[k] += 1
        if data.draw(st.booleans()):
            finished = collector.pop_finished()
            taken += finished.items
            ids += finished.rows["id"].to_pylist()
            assert all(arrived[int(i)] == parts[int(i)] for i in taken)
    last = collector.pop_finished()
    assert sorted(taken + last.items) == sorted(str(k) for k in range(len(parts)))
    assert sorted(ids + last.rows["id"].to_pylist()) == sorted(f"{k}#{n}" for k, n in pieces)


def test_rejected_pieces_are_distinguished_and_waiting_audio_is_counted() -> None:
    collector = Collector()
    collector.add(pa.concat_tables([rows("a", range(2), 3), rows("b", range(1), 1, "why")]))
    assert (len(collector), collector.audio_s) == (1, 1.0)
    collector.add(rows("a", range(2, 3), 3))
    assert (len(collector), collector.audio_s) == (2, 4.0)
    finished = collector.pop_finished()
    assert sorted(finished.rows["id"].to_pylist()) == ["a#0", "a#1", "a#2"]
    assert finished.rejected == [Rejected("b#0", "/x", "why")]
    assert (len(collector), collector.audio_s) == (0, 0.0)
