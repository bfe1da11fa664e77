import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from voxray.files import atomic_directory, atomic_file, replace_directory


def names(folder: Path) -> list[str]:
    return sorted(f.name for f in folder.iterdir())


def test_a_file_takes_its_place_when_the_block_ends(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    for text in ("old", "new"):
        with atomic_file(file) as part:
            part.write_text(text)
            assert not file.exists() or file.read_text() == "old"

    assert file.read_text() == "new"
    assert names(file.parent) == ["result.json"]


def test_a_folder_takes_its_place_with_all_that_is_in_it(tmp_path: Path) -> None:
    out = tmp_path / "model"
    for name in ("old", "new"):
        with atomic_directory(out) as part:
            (part / "deep").mkdir()
            (part / "deep" / name).touch()

    assert names(out / "deep") == ["new"]
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("before", [True, False])
def test_an_error_leaves_what_was_there_and_nothing_else(before: bool, tmp_path: Path) -> None:
    if before:
        (tmp_path / "file").write_text("old")
        (tmp_path / "folder").mkdir()
    there = names(tmp_path)

    with suppress(RuntimeError), atomic_file(tmp_path / "file") as part:
        part.write_text("half")
        raise RuntimeError
    with suppress(RuntimeError), atomic_directory(tmp_path / "folder") as part:
        (part / "half").touch()
        raise RuntimeError

    assert names(tmp_path) == there
    assert not before or (tmp_path / "file").read_text() == "old"


def test_a_folder_that_was_written_elsewhere_replaces_another(tmp_path: Path) -> None:
    for name in ("part", "checkpoint"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()

    replace_directory(tmp_path / "part", tmp_path / "checkpoint")

    assert names(tmp_path) == ["checkpoint"]
    assert names(tmp_path / "checkpoint") == ["part"]


FOREVER = """
import itertools, pathlib, sys
from voxray.files import atomic_directory

for number in itertools.count():
    with atomic_directory(pathlib.Path(sys.argv[1])) as part:
        (part / "a").write_text(str(number))
        (part / "b").write_text(str(number))
    print(number, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="names are exchanged in one step on Linux only")
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_a_kill_leaves_a_whole_folder(rounds: int, tmp_path: Path) -> None:
    model = tmp_path / "model"
    writer = subprocess.Popen([sys.executable, "-c", FOREVER, model], stdout=subprocess.PIPE, text=True)
    with writer:
        assert writer.stdout
        for _ in range(rounds):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)

    assert (model / "a").read_text() == (model / "b").read_text()
