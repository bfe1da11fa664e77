"""`out` under a URL, on fsspec's file system in memory, with copies that are cut off at any call."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from voxray import remote_out
from voxray.errors import MissingDependency, OutputError
from voxray.remote_out import OutFolder, RemoteCopy, copied, remote_of

URL = "memory://bucket/run"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine whose folders of copies are in `tmp_path`, and a bucket that is empty."""
    monkeypatch.setattr(remote_out, "CACHE", tmp_path / "out")
    clear()
    yield tmp_path / "out"
    clear()


def clear() -> None:
    memory = fsspec.filesystem("memory")
    if memory.exists("/bucket"):
        memory.rm("/bucket", recursive=True)


def folder_of(url: str) -> Path:
    found: Path = TypeAdapter(OutFolder).validate_python(url)
    return found


def stored() -> dict[str, str]:
    """What the bucket holds but for the owner."""
    memory = fsspec.filesystem("memory")
    names = [name.removeprefix("/bucket/run/") for name in memory.find("/bucket/run")]
    return {n: memory.cat_file(f"/bucket/run/{n}").decode() for n in names if n != remote_out.OWNER}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_a_path_stays_as_it_is_and_a_url_becomes_a_folder_that_tells_it(tmp_path: Path, cache: Path) -> None:
    assert folder_of(str(tmp_path)) == tmp_path
    assert remote_of(tmp_path) is None
    assert folder_of(URL).parent == cache
    assert remote_of(folder_of("s3://bucket/runs/a b%2F")) == "s3://bucket/runs/a b%2F"


def test_what_a_job_writes_changes_and_removes_is_so_under_the_url() -> None:
    folder = folder_of(URL)
    with copied(folder):
        write(folder, {"a.txt": "1", "deep/er/b.txt": "2", "gone.txt": "3", "c.txt.77.part": "4"})
    assert stored() == {"a.txt": "1", "deep/er/b.txt": "2", "gone.txt": "3"}
    with copied(folder):
        write(folder, {"a.txt": "other"})
        (folder / "gone.txt").unlink()
    assert stored() == {"a.txt": "other", "deep/er/b.txt": "2"}


def test_a_job_that_fails_leaves_what_it_had() -> None:
    folder = folder_of(URL)

    def fail() -> None:
        with copied(folder):
            write(folder, {"progress.jsonl": "1"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert stored() == {"progress.jsonl": "1"}


def test_another_machine_goes_on_from_the_url_and_the_first_sees_that_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = folder_of(URL)
    with copied(first):
        write(first, {"step": "10"})
    monkeypatch.setattr(remote_out, "CACHE", tmp_path / "elsewhere")
    second = folder_of(URL)
    with copied(second):
        assert (second / "step").read_text() == "10"
        write(second, {"step": "20"})
    monkeypatch.setattr(remote_out, "CACHE", tmp_path / "out")
    write(first, {"step": "11"})  # not sent: it was killed
    with copied(first):
        assert (first / "step").read_text() == "20"


def test_the_machine_that_was_killed_goes_on_from_its_own_folder() -> None:
    folder = folder_of(URL)
    with copied(folder):
        write(folder, {"step": "10"})
    write(folder, {"step": "11"})  # after the last copy
    with copied(folder):
        assert (folder / "step").read_text() == "11"
    assert stored() == {"step": "11"}


class Killed(BaseException):
    """As SIGKILL: nothing after it is done."""


class Mortal:
    """A file system that dies at its n-th writing call."""

    def __init__(self, files: Any, calls: int) -> None:
        self._files, self._left = files, calls

    def __getattr__(self, name: str) -> Any:
        if name in ("put_file", "mv", "rm_file", "pipe_file"):
            self._left -= 1
            if self._left < 0:
                raise Killed
        return getattr(self._files, name)


STATES = st.dictionaries(st.sampled_from(["a", "b", "d/c", "d/e"]), st.sampled_from("12345"), min_size=1)


@given(before=STATES, after=STATES, calls=st.integers(0, 20))
def test_a_copy_that_is_killed_anywhere_leaves_one_state_or_the_other(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, str], after: dict[str, str], calls: int
) -> None:
    clear()
    folder = tmp_path_factory.mktemp("run")
    copy = RemoteCopy(folder / "run", URL)
    copy.begin()
    write(copy.folder, before)
    copy.send()
    for name in before.keys() - after.keys():
        (copy.folder / name).unlink()
    write(copy.folder, {name: f"{text} again" for name, text in after.items()})
    copy.files = Mortal(copy.files, calls)
    with suppress(Killed):
        copy.send()
    found = RemoteCopy(folder / "another", URL)
    found.begin()

    names = [p for p in found.folder.rglob("*") if p.is_file()]
    texts = {p.relative_to(found.folder).as_posix(): p.read_text() for p in names}
    assert texts in (before, {name: f"{text} again" for name, text in after.items()})
    assert stored() == texts


def test_a_file_that_changes_while_it_is_uploaded_is_uploaded_again(tmp_path: Path) -> None:
    copy = RemoteCopy(tmp_path / "run", URL)
    copy.begin()
    write(copy.folder, {"model/a": "old", "model/b": "old"})

    class Meddling(Mortal):
        def put_file(self, source: str, target: str) -> None:
            self._files.put_file(source, target)
            if self._left == 99:
                self._left = 98
                write(copy.folder, {"model/a": "newer", "model/b": "newer"})

    copy.files = Meddling(copy.files, 99)
    copy.send()
    assert stored() == {"model/a": "newer", "model/b": "newer"}


def test_a_place_with_other_files_is_refused_and_stays_as_it_is() -> None:
    fsspec.filesystem("memory").pipe_file("/bucket/run/letter.txt", b"dear")
    with pytest.raises(OutputError, match="expected an empty place or a run, got other files"):
        copied(folder_of(URL)).__enter__()
    assert stored() == {"letter.txt": "dear"}


def test_a_driver_that_is_missing_and_a_scheme_that_is_not_known_are_told_in_a_sentence() -> None:
    with pytest.raises((MissingDependency, OutputError), match="expected"):
        copied(folder_of("s4://bucket/run")).__enter__()


def test_a_place_that_cannot_be_written_ends_with_the_folder_where_the_run_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file://.*the run is in .* and the same command goes on there"):
        copied(folder_of(f"file://{tmp_path}/file/run")).__enter__()


def test_what_changes_is_copied_while_the_job_runs(capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(URL)
    with copied(folder, every_s=0.01):
        write(folder, {"step": "1"})
        until_s = time.monotonic() + 30
        while stored().get("step") != "1" and time.monotonic() < until_s:
            time.sleep(0.01)
        assert stored() == {"step": "1"}
    assert capsys.readouterr().err == ""
