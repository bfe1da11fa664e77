"""Files of a corpus by name: on a local disk, or under a URL that fsspec knows (s3://, gs://, memory://)."""

import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from voxray.errors import CorpusError, MissingDependency


def scheme(place: str) -> str:
    """Return the scheme of a URL, what stands before `://`; empty for a local path."""
    return place.partition("://")[0] if "://" in place else ""


def absolute(place: str) -> str:
    """Return `place` as an absolute path or URL, without a slash at its end."""
    return place.rstrip("/") if scheme(place) else str(Path(place).expanduser().resolve())


def join(folder: str, name: str) -> str:
    """Return the path or URL of the file `name` in `folder`."""
    return f"{folder}/{name}"


def composed(name: str) -> str:
    """Return `name` as it is compared: macOS stores accents decomposed, most tables have them composed."""
    return unicodedata.normalize("NFC", name)


def is_file(place: str) -> bool:
    """Say whether `place` is a file."""
    return bool(_filesystem(place).isfile(place)) if scheme(place) else Path(place).is_file()


def list_names(folder: str) -> list[str]:
    """List the files in `folder` and below, sorted, relative to it, without the hidden ones.

    Raises CorpusError where there is no such folder.
    """
    names = _list_url(folder) if scheme(folder) else _list_local(Path(folder))
    return sorted(n for n in names if not any(part.startswith(".") for part in n.split("/")))


def read_bytes(source: str) -> bytes:
    """Read a whole file; raise OSError where it cannot be read."""
    if not scheme(source):
        return _stored(Path(source)).read_bytes()
    with _driver_errors(source, "file that can be read"):
        return bytes(_filesystem(source).cat_file(source))


def open_file(source: str) -> BinaryIO:
    """Open a file for reading at any place in it; raise OSError or CorpusError where it cannot be opened."""
    if not scheme(source):
        return _stored(Path(source)).open("rb")
    with _driver_errors(source, "file that can be read"):
        return cast(BinaryIO, _filesystem(source).open(source, "rb"))


def modified_ns(source: str) -> int:
    """Return when a local file was last written; 0 under a URL and where there is no file."""
    if scheme(source) or not Path(source).exists():
        return 0
    return Path(source).stat().st_mtime_ns


@contextmanager
def _driver_errors(place: str, expected: str) -> Iterator[None]:
    try:
        yield
    except (CorpusError, MissingDependency):
        raise
    except FileNotFoundError as e:
        raise CorpusError(f"{place}: expected a {expected}, got none there.") from e
    except Exception as e:  # each driver has errors of its own, some of several lines
        text = " ".join(f"{type(e).__name__}: {e}".split())
        raise CorpusError(f"{place}: expected a {expected}, got an error of its server ({text}).") from e


def read_text(source: str) -> str:
    """Read a file as UTF-8, without a byte order mark; raise OSError or UnicodeDecodeError."""
    return read_bytes(source).decode("utf-8-sig")


def _stored(path: Path) -> Path:
    """Return `path`, or where there is none, that of the same composed name, if there is one."""
    if path.exists() or path == path.parent:
        return path
    parent = _stored(path.parent)
    if not parent.is_dir():
        return path
    return parent / _stored_names(parent, parent.stat().st_mtime_ns).get(composed(path.name), path.name)


@lru_cache(maxsize=64)
def _stored_names(folder: Path, changed_ns: int) -> dict[str, str]:
    """Map the composed names in `folder` to those that are stored; `changed_ns` ends what is remembered."""
    return {composed(name): name for name in os.listdir(folder)}


def _list_local(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise CorpusError(
            f"{folder}: expected a corpus (a folder, or a .jsonl, .parquet, .arrow or .tar file), got none."
        )
    return [
        (Path(parent) / name).relative_to(folder).as_posix()
        for parent, _, names in os.walk(folder)
        for name in names
    ]


def _list_url(folder: str) -> list[str]:
    filesystem = _filesystem(folder)
    root = str(filesystem._strip_protocol(folder)).rstrip("/")
    with _driver_errors(folder, "folder that can be listed"):
        found = [str(path) for path in filesystem.find(root)]
    return [path.removeprefix(root).lstrip("/") for path in found]


def _filesystem(place: str) -> Any:
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # it ships no types

        return url_to_fs(place)[0]
    except ImportError as e:
        raise MissingDependency(
            f"{place}: expected fsspec and its {scheme(place)} driver, got not both ({e}); install them."
        ) from e
    except ValueError as e:
        raise CorpusError(f"{place}: expected a path or a URL that fsspec knows, got another: {e}.") from e
