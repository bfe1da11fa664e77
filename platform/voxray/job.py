"""What every job does around its work: read a config, show a table to people and a JSON line to programs.

    python jobs/NAME.py --config FILE [key=value ...]
    python jobs/NAME.py --help    lists every key, nested ones too, with its default and a line about it

Progress goes to stderr; the table and the JSON line to stdout; the JSON also to `<out>/result.json`.
A foreseen error ends in one sentence and exit status 1, an option without its value in 2.
"""

import argparse
import errno
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from voxray.config import Config, load
from voxray.errors import OutputError, VoxrayError
from voxray.files import atomic_file
from voxray.remote_out import copied

C = TypeVar("C", bound=Config)
Result = Mapping[str, Any]
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})


def main(
    doc: str | None, config: type[C], run: Callable[[C], Result], argv: Sequence[str] | None = None
) -> int:
    """Parse `argv`, run the job and show its result; returns the exit status."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s [--config FILE] [key=value ...]",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML with the keys below")
    try:
        options = load(config, words=sys.argv[1:] if argv is None else argv, parser=parser)
        out: Path | None = getattr(options, "out", None)
        with copied(out) if out else nullcontext():
            result = run(options)
            if out:
                with atomic_file(out / "result.json") as part:
                    part.write_text(to_json(result) + "\n")
    except Exception as e:
        if (sentence := explain(e)) is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        return 1
    show(result)
    print(to_json(result), flush=True)
    return 0


def explain(error: BaseException) -> str | None:
    """Return one sentence for an error that was foreseen, or for one of the disk; None for a defect.

    Ray wraps what its workers raise, with their tracebacks as the message: the foreseen error is looked for
    in the causes as well.
    """
    causes = list(_causes(error))
    for e in causes:
        if isinstance(e, VoxrayError) and not hasattr(e, "cause"):  # Ray's own wrapper is also of that class
            return str(e)
    for e in causes:
        if isinstance(e, OSError) and e.errno in _DISK_ERRORS:
            return f"{e.filename or 'disk'}: {e.strerror}; free some room or choose another place."
    return None


def _causes(error: BaseException | None, depth: int = 8) -> Iterator[BaseException]:
    if error is None or depth == 0:
        return
    yield error
    of_workers = getattr(error, "worker_failures", None) or {}  # ray.train.WorkerGroupError
    for cause in (getattr(error, "cause", None), error.__cause__, *of_workers.values()):
        if isinstance(cause, BaseException):
            yield from _causes(cause, depth - 1)


def to_json(result: Result) -> str:
    """Return `result` on one line; numbers that JSON lacks (NaN, infinity) become null."""
    plain: dict[str, Any] = {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in result.items()
    }
    return json.dumps(plain, allow_nan=False)


def show(result: Result) -> None:
    """Print the scalars of `result` as a table on stdout."""
    table = Table(show_header=False)
    for key, value in result.items():
        if not isinstance(value, list | dict):
            table.add_row(key.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value))
    Console(width=100).print(table)


def prepare_out(out: Path, *, overwrite: bool, resume: bool = False) -> Path:
    """Make `out` and return it; OutputError if it is not writable or holds what neither flag allows.

    With `resume` it may hold an unfinished run; a finished one (result.json) needs `overwrite`.
    """
    try:
        taken = (out / "result.json").exists() if resume else out.exists() and any(out.iterdir())
        if taken and not overwrite:
            raise OutputError(
                f"{out}: expected an empty folder, got one with files; add overwrite=true or change out=."
            )
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OutputError:
        raise
    except OSError as e:
        raise OutputError(f"{out}: expected a folder that can be written, got another ({e.strerror}).") from e
    return out
