"""The rim of every job: a config from YAML and words, a table for people, one last line of JSON for programs.

    python jobs/NAME.py --config FILE [key=value ...]

Progress goes to stderr; the table and the JSON line to stdout; the JSON also to `<out>/result.json`.
An expected error ends in one sentence and exit status 1, a wrong command line in 2.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from voxray.config import Config, load
from voxray.errors import OutputError, VoxrayError

C = TypeVar("C", bound=Config)
Result = Mapping[str, Any]


def main(
    doc: str | None, config: type[C], run: Callable[[C], Result], argv: Sequence[str] | None = None
) -> int:
    """Parse `argv`, run the job, show its result; returns the exit status."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML with the keys below")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help=f"keys: {', '.join(config.model_fields)}"
    )
    words = parser.parse_intermixed_args(argv)
    try:
        options = load(config, words.config, words.overrides)
        result = run(options)
        if out := getattr(options, "out", None):
            (Path(out) / "result.json").write_text(json.dumps(result) + "\n")
    except VoxrayError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    except OSError as e:
        print(
            f"error: {e.filename or 'disk'}: {e.strerror or e}; free some room or choose another place.",
            file=sys.stderr,
        )
        return 1
    show(result)
    print(json.dumps(result), flush=True)
    return 0


def show(result: Result) -> None:
    """The scalars of `result` as a table on stdout."""
    table = Table(show_header=False)
    for key, value in result.items():
        if not isinstance(value, list | dict):
            table.add_row(key.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value))
    Console(width=100).print(table)


def prepare_out(out: Path, *, overwrite: bool, resume: bool = False) -> Path:
    """Make `out`; OutputError where it is not writable, or holds something and neither flag allows it.

    `resume`: an unfinished run may stand there. A finished one (result.json) needs `overwrite`.
    """
    taken = (out / "result.json").exists() if resume else out.exists() and any(out.iterdir())
    if taken and not overwrite:
        raise OutputError(
            f"{out}: expected an empty place, and a result is there; add overwrite=true or change out=."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as e:
        raise OutputError(
            f"{out}: expected a folder that can be written, and it cannot ({e.strerror})."
        ) from e
    return out
