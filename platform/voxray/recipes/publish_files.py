"""Files copied to a folder or under a URL, each once however often the copying is killed.

    PLACE/<files>, PLACE/SHA256SUMS          when all are there
    PLACE/<files>, PLACE/SHA256SUMS.part     before: those that are listed in it are there

Lines are those of sha256sum(1), so that `sha256sum -c SHA256SUMS` checks a copy.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from voxray.errors import MissingDependency, OutputError
from voxray.remote_out import make_folder, open_url
from voxray.whisper.digest import sha256_of

SUMS = "SHA256SUMS"
PART = f"{SUMS}.part"


def publish_files(files: Sequence[Path], to: str) -> str:
    """Copy `files` to `to`, in place of those of a model that was published there; return the place.

    Raises OutputError where other files are there, or the place cannot be written, and MissingDependency
    where the driver of the URL is not installed.
    """
    filesystem, root = open_url(to)
    try:
        _publish(files, filesystem, root, to)
    except (OutputError, MissingDependency):
        raise
    except Exception as e:  # each driver has errors of its own, some of several lines
        text = " ".join(f"{type(e).__name__}: {e}".split())
        raise OutputError(f"{to}: expected a place that can be written, got another ({text}).") from e
    return to


def _publish(files: Sequence[Path], filesystem: Any, root: str, to: str) -> None:
    there = {path.removeprefix(root).lstrip("/") for path in map(str, filesystem.find(root))}
    if there and not there & {SUMS, PART}:
        raise OutputError(
            f"{to}: expected an empty place or a model that was published there, got other files; change to=."
        )
    listed = _sums(filesystem, root, PART if PART in there else SUMS) if there else {}
    wanted = {file.name: sha256_of(file) for file in files}
    kept = {name: sha for name, sha in listed.items() if wanted.get(name) == sha and name in there}
    make_folder(filesystem, root)
    _write_sums(filesystem, root, PART, kept)  # before anything that SHA256SUMS lists is replaced
    if SUMS in there:
        filesystem.rm_file(f"{root}/{SUMS}")
    for name in (listed.keys() & there) - wanted.keys():
        filesystem.rm_file(f"{root}/{name}")
    for file in files:
        if file.name not in kept:
            filesystem.put_file(str(file), f"{root}/{file.name}")
            kept[file.name] = wanted[file.name]
            _write_sums(filesystem, root, PART, kept)
    _write_sums(filesystem, root, SUMS, kept)
    filesystem.rm_file(f"{root}/{PART}")


def _sums(filesystem: Any, root: str, name: str) -> dict[str, str]:
    lines = filesystem.cat_file(f"{root}/{name}").decode().splitlines()
    return {line[66:]: line[:64] for line in lines}


def _write_sums(filesystem: Any, root: str, name: str, sums: Mapping[str, str]) -> None:
    text = "".join(f"{sha}  {file}\n" for file, sha in sorted(sums.items()))
    filesystem.pipe_file(f"{root}/{name}", text.encode())
