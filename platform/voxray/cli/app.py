"""The commands, and what is common to them."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from voxray.cli.messages import print_error
from voxray.cli.models import models
from voxray.cli.stream import stream
from voxray.cli.transcribe import transcribe
from voxray.errors import MissingDependency, VoxrayError

app = typer.Typer(
    help="Distil Whisper on your audio and serve it to live microphones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(transcribe)
app.command()(stream)
app.command()(models)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"voxray {version('voxray')}")
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Distil Whisper on your audio and serve it to live microphones."""


@app.command()
def splits(folder: Path) -> None:
    """Write the train, dev and test splits of an audio folder into csv files in it, to be kept or edited."""
    try:
        from voxray.corpora.split_tables import write_split_tables

        counts = write_split_tables(folder)
    except ImportError as e:
        needed = f"expected what reads corpora, got no {e.name}; pip install 'voxray[train]'."
        print_error(MissingDependency(needed))
        raise typer.Exit(2) from e
    except VoxrayError as e:
        print_error(e)
        raise typer.Exit(2) from e
    print(", ".join(f"{split} {count}" for split, count in counts.items()))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what is installed and whether it works; the exit status is 1 where the base does not."""
    from voxray.doctor import examine, healthy, show, to_json

    findings = examine()
    if as_json:
        print(to_json(findings))
    else:
        show(findings)
    raise typer.Exit(0 if healthy(findings) else 1)
