"""The file that a command writes."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TextIO

from voxray.errors import OutputError, VoxrayError
from voxray.files import atomic_file


@contextmanager
def output_file(target: Path, *, overwrite: bool) -> Iterator[TextIO]:
    """Open `target` for writing; its text appears there when the block ends.

    If the block fails, what was written appears nevertheless; if nothing was, all stays as it is. Raises
    OutputError where `target` cannot be written, or is there and `overwrite` is not set.
    """
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: expected no such file yet, got one; add --overwrite.")
    replaceable = target.is_file() or not target.exists()  # /dev/null and pipes are not
    failure: BaseException | None = None
    try:
        place = atomic_file(target.resolve()) if replaceable else nullcontext(target)  # a link stays one
        with place as path, path.open("w", encoding="utf-8") as file:
            try:
                yield file
            except BaseException as e:
                if not file.tell():
                    raise
                failure = e
    except VoxrayError:
        raise
    except OSError as e:
        raise OutputError(
            f"{target}: expected a place that can be written, got another ({e.strerror})."
        ) from e
    if failure:
        raise failure
