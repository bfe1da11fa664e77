"""`out` under a URL: a job works in a folder on this machine, and what changes there is copied to the URL.

    s3://BUCKET/RUN  ->  ~/.cache/voxray/out/s3%3A%2F%2FBUCKET%2FRUN  ->  the job  ->  s3://BUCKET/RUN

A job that was killed goes on anywhere: on the machine that it ran on from its folder, on another from what
the URL holds. Copies are whole: files are sent as NAME.part, JOURNAL says what is to be renamed and removed,
and whoever finds a JOURNAL finishes it first. Nothing but one job on one machine at a time may write there.
"""

import json
import shutil
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote

from pydantic import BeforeValidator

from voxray.errors import MissingDependency, OutputError, VoxrayError

CACHE = Path.home() / ".cache" / "voxray" / "out"
EVERY_S = 15.0
OWNER = ".owner"  # the folder that the copy is of
JOURNAL = ".journal.json"
PART = ".part"
OBJECT_STORES = frozenset({"s3", "gs", "abfs", "az", "oci", "oss"})
PASSES = 5  # over files that change while they are uploaded

Stamps = Mapping[str, tuple[int, int]]  # of files: when they changed in nanoseconds, and bytes


def _local(value: Any) -> Any:
    return CACHE / quote(value, safe="") if isinstance(value, str) and "://" in value else value


OutFolder = Annotated[Path, BeforeValidator(_local)]
"""A field that is given as a path or a URL and holds a path; `remote_of` tells the URL."""


def remote_of(folder: Path) -> str | None:
    """Return the URL that `folder` is copied to; None for a folder that was given as such."""
    return unquote(folder.name) if folder.parent == CACHE else None


@contextmanager
def copied(folder: Path, every_s: float = EVERY_S) -> Iterator[None]:
    """Copy what changes in `folder` to its URL while the block runs, and when it ends, however it ends.

    Without a URL nothing is done. Raises OutputError where the URL cannot be read or written at the start or
    at the end; in between it is tried again. Raises MissingDependency where the driver of the URL is missing.
    """
    if (url := remote_of(folder)) is None:
        yield
        return
    with _explained(url, folder):
        copy = RemoteCopy(folder, url)
        copy.begin()
    over = threading.Event()
    thread = threading.Thread(target=_repeat, args=(copy, over, every_s), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with _explained(url, folder):
            copy.send()


def _repeat(copy: "RemoteCopy", over: threading.Event, every_s: float) -> None:
    """Send until `over`; a failure is told once, and tried again."""
    told = False
    while not over.wait(every_s):
        try:
            copy.send()
            told = False
        except Exception as e:  # each driver has errors of its own
            if not told:
                print(f"{copy.url}: not copied, will be tried again ({_one_line(e)})", file=sys.stderr)
            told = True


@contextmanager
def _explained(url: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except VoxrayError:
        raise
    except Exception as e:  # each driver has errors of its own, some of several lines
        raise OutputError(
            f"{url}: expected a place that can be read and written, got another ({_one_line(e)}); the run is "
            f"in {folder}, and the same command goes on there."
        ) from e


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


class RemoteCopy:
    """The copy of `folder` at `url`. Call `begin` first, and `send` whenever something may have changed."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.files, self.root = open_url(url)
        self.sent: Stamps = {}

    def begin(self) -> None:
        """Make `folder` what the URL holds, unless the URL holds a copy of `folder`; then own it."""
        there = self._there()
        if there and OWNER not in there:
            raise OutputError(f"{self.url}: expected an empty place or a run, got other files; change out=.")
        owner = self._read(OWNER).decode() if OWNER in there else ""
        if JOURNAL in there:
            self._finish(json.loads(self._read(JOURNAL)))
        own = self.folder.with_name(self.folder.name + OWNER)
        if not owner or not own.is_file() or own.read_text() != owner:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            for name in self._there() - {OWNER}:
                if name.endswith(PART):  # of a copy that was killed before its JOURNAL
                    self.files.rm_file(f"{self.root}/{name}")
                else:
                    (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                    self.files.get_file(f"{self.root}/{name}", str(self.folder / name))
            self.sent = self._stamps()
            own.write_text(uuid.uuid4().hex)
        self._write(OWNER, own.read_bytes())

    def send(self) -> None:
        """Copy what changed since the last call and remove what is gone: all of it or, if killed, nothing."""
        now = self._upload()
        changed = [name for name, stamp in now.items() if self.sent.get(name) != stamp]
        gone = [name for name in self._there() - now.keys() - {OWNER} if not name.endswith(PART)]
        if changed or gone:
            journal = {"changed": changed, "gone": gone}
            self._write(JOURNAL, json.dumps(journal).encode())
            self._finish(journal)
        self.sent = now

    def _upload(self) -> Stamps:
        """Upload what changed as NAME.part, again where it changed meanwhile; return all files' stamps."""
        uploaded = dict(self.sent)
        for _ in range(PASSES):
            now = self._stamps()
            changed = [name for name, stamp in now.items() if uploaded.get(name) != stamp]
            if not changed:
                break
            for name in changed:
                with suppress(FileNotFoundError):  # removed meanwhile: the next pass sees it
                    self._ensure_parent(name)
                    self.files.put_file(str(self.folder / name), f"{self.root}/{name}{PART}")
                    uploaded[name] = now[name]
        return {name: stamp for name, stamp in uploaded.items() if name in now}

    def _finish(self, journal: Mapping[str, list[str]]) -> None:
        there = self._there()
        for name in journal["changed"]:
            if f"{name}{PART}" in there:
                if name in there:
                    self.files.rm_file(f"{self.root}/{name}")
                self.files.mv(f"{self.root}/{name}{PART}", f"{self.root}/{name}")
        for name in set(journal["gone"]) & there:
            self.files.rm_file(f"{self.root}/{name}")
        self.files.rm_file(f"{self.root}/{JOURNAL}")

    def _there(self) -> set[str]:
        self.files.invalidate_cache()
        try:
            return {str(path).removeprefix(self.root).lstrip("/") for path in self.files.find(self.root)}
        except FileNotFoundError:
            return set()

    def _stamps(self) -> dict[str, tuple[int, int]]:
        """Return the files of the folder that are whole: none that is still written as NAME.PID.part."""
        found = {}
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            if PART not in name:
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    if path.is_file():
                        found[name] = stat.st_mtime_ns, stat.st_size
        return found

    def _ensure_parent(self, name: str) -> None:
        make_folder(self.files, f"{self.root}/{name}".rsplit("/", 1)[0])

    def _read(self, name: str) -> bytes:
        content: bytes = self.files.cat_file(f"{self.root}/{name}")
        return content

    def _write(self, name: str, content: bytes) -> None:
        self._ensure_parent(name)
        self.files.pipe_file(f"{self.root}/{name}", content)


def make_folder(filesystem: Any, folder: str) -> None:
    """Make `folder` where the file system has folders; an object store would make the bucket instead."""
    names = filesystem.protocol
    if not OBJECT_STORES.intersection([names] if isinstance(names, str) else names):
        filesystem.makedirs(folder, exist_ok=True)


def open_url(url: str) -> tuple[Any, str]:
    """Return the file system of `url`, and the path in it."""
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # it ships no types

    try:
        filesystem, root = url_to_fs(url)
    except ImportError as e:
        raise MissingDependency(f"{url}: expected the driver of this URL, got none ({e}).") from e
    except ValueError as e:
        raise OutputError(f"{url}: expected a folder or a URL that fsspec knows, got another ({e}).") from e
    return filesystem, str(root).rstrip("/")
