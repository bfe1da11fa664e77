"""A file that takes its place once there is something in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

from voxray.errors import OutputError


@contextmanager
def draft(target: Path, *, overwrite: bool) -> Iterator[TextIO]:
    """`target`, to be written: until the end it is `NAME.part` beside it.

    It takes its place where the block ends well, and where it fails with something written; where nothing
    was, all stays as it is. OutputError where it cannot be written, or is there and not to be overwritten.
    """
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: expected no such file yet, and there is one; add --overwrite.")
    if target.exists() and not target.is_file():  # /dev/null, a pipe: they are written to, and not replaced
        with _opened(target, "w") as file:
            yield file
        return
    whole = target.resolve()  # a link stays one
    part = whole.with_name(whole.name + ".part")
    file, done = _opened(part, "x"), False
    try:
        yield file
        done = True
    finally:
        written = file.tell() > 0
        file.close()
        if done or written:
            part.replace(whole)
        else:
            part.unlink()


def _opened(path: Path, mode: Literal["w", "x"]) -> TextIO:
    try:
        return path.open(mode, encoding="utf-8")
    except FileExistsError as e:
        raise OutputError(
            f"{path}: expected no such file yet, and there is one, of a run that goes on or did not end; "
            "move it away."
        ) from e
    except OSError as e:
        raise OutputError(f"{path}: expected to write there, and it cannot be done ({e.strerror}).") from e
