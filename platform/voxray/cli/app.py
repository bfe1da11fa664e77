"""The commands, and what is common to them."""

from importlib.metadata import version
from typing import Annotated

import typer

from voxray.cli.models import models
from voxray.cli.stream import stream
from voxray.cli.transcribe import transcribe

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
