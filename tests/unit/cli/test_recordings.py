"""The names of what `voxray transcribe` writes."""

import unicodedata
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.cli.recordings import InputFile, check_names, input_files
from voxray.errors import OutputError

FILES = st.builds(
    lambda folders, name, suffix: Path(*folders, name + suffix),
    st.lists(st.sampled_from(["a", "A", "b.c"]), max_size=2),
    st.sampled_from(["x", "X", "x.old", "\xe9", "e\u0301"]),
    st.sampled_from([".wav", ".mp3"]),
)


@given(st.lists(FILES, max_size=6, unique=True), st.booleans())
def test_files_are_admitted_exactly_where_no_two_have_one_name(files: list[Path], in_folder: bool) -> None:
    found = [InputFile(f, f.with_name(f.stem)) for f in files] if in_folder else input_files(files)
    names = {unicodedata.normalize("NFC", str(f.name)).casefold() for f in found}
    if len(names) == len(files):
        check_names(found)
        return
    with pytest.raises(OutputError, match=r"expected names that differ .* got .* for both; rename one"):
        check_names(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("monday/x.wav", "tuesday/x.wav", "x.y.mp3", "notes.txt"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return tmp_path


def test_recordings_in_a_folder_keep_their_path_from_there(folder: Path) -> None:
    found = input_files([folder])

    assert [str(f.name) for f in found] == ["monday/x", "tuesday/x", "x.y"]
    check_names(found)


def test_files_given_by_themselves_are_named_without_folders(folder: Path) -> None:
    one, two = folder / "monday/x.wav", folder / "tuesday/x.wav"
    found = input_files([one, Path("-"), two])

    assert [f.name for f in found] == [PurePath("x"), PurePath("stdin"), PurePath("x")]
    with pytest.raises(OutputError) as e:
        check_names(found)
    assert str(e.value).startswith(f"{one} and {two}: expected names that differ without folder and suffix,")
