from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from voxray.audio import encode
from voxray.cli.app import app
from voxray.corpora.sources import list_corpus
from voxray.corpora.split_tables import write_split_tables
from voxray.errors import CorpusError

CLIPS = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Clips in two folders; every second one has a text beside it."""
    for k in range(CLIPS):
        audio = tmp_path / "ab"[k % 2] / f"clip {k}.flac"
        audio.parent.mkdir(exist_ok=True)
        audio.write_bytes(encode(np.full(1600, 500, dtype=np.int16)))
        if k % 2:
            audio.with_suffix(".txt").write_text(f"text, of {k}")
    return tmp_path


def test_the_tables_say_what_the_hashes_did(folder: Path) -> None:
    before = list_corpus(str(folder))
    counts = write_split_tables(folder)
    after = list_corpus(str(folder))
    key = "id source split text recording".split()
    assert {tuple(getattr(i, k) for k in key) for i in after.items} == {
        tuple(getattr(i, k) for k in key) for i in before.items
    }
    assert sum(counts.values()) == CLIPS
    assert counts["train"] > counts["test"] > 0


def test_an_edited_table_stands(folder: Path) -> None:
    write_split_tables(folder)
    table, train = folder / "dev_files.csv", folder / "train_files.csv"
    table.write_text(table.read_text() + train.read_text().split("\n", 1)[1])
    train.unlink()
    assert {i.split for i in list_corpus(str(folder)).items} == {"dev", "test"}


def test_a_folder_with_tables_and_one_without_audio_are_left_alone(folder: Path, tmp_path: Path) -> None:
    write_split_tables(folder)
    table = (folder / "train_files.csv").read_text()
    with pytest.raises(CorpusError, match="expected audio without tables"):
        write_split_tables(folder)
    assert (folder / "train_files.csv").read_text() == table
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(CorpusError):
            write_split_tables(place)


def test_the_command_counts_or_names_what_is_wrong(folder: Path) -> None:
    done = CliRunner().invoke(app, ["splits", str(folder)])
    assert (done.exit_code, done.stdout[:6]) == (0, "train ")
    again = CliRunner().invoke(app, ["splits", str(folder)])
    assert again.exit_code == 2
    assert "error: " in again.stderr
