"""`voxray transcribe`: recordings become text, captions or JSON."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voxray.cli.messages import print_error, print_warning
from voxray.cli.output import output_file
from voxray.errors import ConfigError, OutputError, VoxrayError
from voxray.transcript import Format, Transcript

if TYPE_CHECKING:
    from voxray.whisper.ctranslate import CTranslate2Engine
    from voxray.whisper.engines import DecodingOptions

EXTENSIONS: dict[Format, str] = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json"}


def transcribe(
    files: Annotated[list[Path], typer.Argument(help="Recordings: any codec, any length.")],
    model: Annotated[str, typer.Option(help="`tiny.en`, a folder, or a hub name.")] = "tiny.en",
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = "text",
    words: Annotated[bool, typer.Option("--words", help="Word times too (in json).")] = False,
    language: Annotated[str | None, typer.Option(help="As `en` or English; `auto` detects it.")] = None,
    task: Annotated[
        Literal["transcribe", "translate"], typer.Option(help="`translate` writes English.")
    ] = "transcribe",
    device: Annotated[str, typer.Option(help="`cpu`, `cuda` or `auto`.")] = "auto",
    output: Annotated[Path | None, typer.Option(help="A folder: one file per recording.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in the folder.")] = False,
) -> None:
    """Transcribe recordings to stdout, or into a folder.

    A file that cannot be transcribed is named on stderr and the others go on; the exit status is then 1. Of a
    file that is cut off, what is there is transcribed, with a warning on stderr.
    """
    from voxray.config import parse
    from voxray.whisper.engines import DecodingOptions

    try:
        _check_stdout(form, files, output)
        asked = {"language": language, "task": task, "words": words}
        options = parse(DecodingOptions, asked, where="transcribe")
        engine = _engine(model, device, options)
    except VoxrayError as e:
        print_error(e)
        raise typer.Exit(1) from e
    failures = 0
    for file in files:
        try:
            _write(_transcribed(file, engine, options), file, form, output, overwrite, several=len(files) > 1)
        except VoxrayError as e:
            print_error(e)
            failures += 1
    raise typer.Exit(1 if failures else 0)


def _check_stdout(form: Format, files: list[Path], output: Path | None) -> None:
    if form in ("srt", "vtt") and len(files) > 1 and output is None:
        raise ConfigError(
            f"expected --output DIR for {form} captions of {len(files)} files; each needs its own."
        )


def _engine(model: str, device: str, options: "DecodingOptions") -> "CTranslate2Engine":
    from voxray.whisper.ctranslate import CTranslate2Engine
    from voxray.whisper.models import ctranslate2_folder

    engine = CTranslate2Engine(ctranslate2_folder(model), device=device)
    if options.language and engine.tokens.multilingual:
        engine.tokens.language(options.language)  # raises before any file is read
    return engine


def _transcribed(file: Path, engine: "CTranslate2Engine", options: "DecodingOptions") -> Transcript:
    from voxray.audio import decode
    from voxray.transcribe import cutting_for, transcribe

    pcm = decode(file, warn=print_warning)
    return transcribe(pcm, engine, options, cutting_for(engine.min_window_s))


def _write(
    transcript: Transcript, file: Path, form: Format, output: Path | None, overwrite: bool, *, several: bool
) -> None:
    if output is None:
        print(_for_stdout(transcript, file, form, several), flush=True)
        return
    target = output / (file.stem + EXTENSIONS[form])
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(
            f"{target}: expected a place that can be written, got another ({e.strerror})."
        ) from e
    with output_file(target, overwrite=overwrite) as out:
        out.write(transcript.render(form) + "\n")


def _for_stdout(transcript: Transcript, file: Path, form: Format, several: bool) -> str:
    """Return one file's text as it is; of several, each under its name, or as a line of JSON."""
    rendered = transcript.render(form)
    if not several:
        return rendered
    if form == "json":
        return json.dumps({"file": str(file), **json.loads(rendered)}, ensure_ascii=False)
    return f"== {file}\n{rendered}"
