"""`voxray models`: what models a folder holds."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxray.cli.messages import print_error
from voxray.errors import ModelError

if TYPE_CHECKING:
    from voxray.whisper.registry import StoredModel


def models(
    folder: Annotated[Path, typer.Argument(help="Where to look, with all that is below it.")] = Path("."),
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the models in a folder: form, size, smallest window, source and score.

    A model whose voxray.json cannot be read is named on stderr; the exit status is then 1.
    """
    from voxray.whisper.registry import find_models

    try:
        found = list(find_models(folder))
    except ModelError as e:
        print_error(e)
        raise typer.Exit(1) from e
    listed = [model for model in found if not isinstance(model, ModelError)]
    if as_json:
        print(json.dumps([to_json(model) for model in listed], indent=1))
    else:
        show(listed, folder)
    errors = [error for error in found if isinstance(error, ModelError)]
    for error in errors:
        print_error(error)
    raise typer.Exit(1 if errors else 0)


def to_json(model: "StoredModel") -> dict[str, Any]:
    """Return a model as JSON has it: its place and all that its voxray.json says."""
    return {
        "path": str(model.path),
        "form": model.form,
        "bytes": model.bytes,
        **model.info.model_dump(mode="json", exclude={"format"}),
    }


def show(models: "list[StoredModel]", folder: Path) -> None:
    """Print a table of models on stdout, their paths below `folder`."""
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "form", "MB", "window from", "source", "score")
    for model in models:
        info = model.info
        table.add_row(
            str(model.path.relative_to(folder)),
            f"{model.form} {info.quantization or ''}".rstrip(),
            f"{model.bytes / 1e6:.1f}",
            f"{info.min_window_s:g} s",
            info.source_name or (info.source or "")[:12] or "unknown",
            score(model),
        )
    Console().print(table)


def score(model: "StoredModel") -> str:
    """Return the score of a model on the clips that its export was checked on, or else how it was checked."""
    score, to_source = model.info.score, model.info.wer_to_source
    if score:
        bounds = f"{100 * score.low:.1f} to {100 * score.high:.1f}"
        return f"{score.kind} {100 * score.rate:.1f} % ({bounds}), {score.clips} clips"
    return "unknown" if to_source is None else f"{100 * to_source:.1f} % from its source"
