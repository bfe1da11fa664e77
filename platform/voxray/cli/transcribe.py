"""`voxray transcribe`: recordings become text, captions or JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voxray.captions import render
from voxray.cli.messages import print_error
from voxray.cli.output import output_file
from voxray.cli.recordings import InputFile, check_names, input_files
from voxray.errors import ConfigError, OutputError, VoxrayError
from voxray.long_form import LongForm
from voxray.transcript import Format, Transcript

if TYPE_CHECKING:
    from voxray.cli.progress import ProgressBar
    from voxray.transcribe import TranscribeAll
    from voxray.whisper.engines import DecodingOptions

EXTENSIONS: dict[Format, str] = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json"}
LONG_FORM = (
    "How recordings over 30 s are transcribed: `pauses` cuts them at pauses; `sequential` goes window after "
    "window by timestamps, with temperature fallback, as OpenAI's Whisper; `chunked` joins overlapping "
    "chunks, as Hugging Face's pipeline."
)


def transcribe(
    files: Annotated[
        list[Path],
        typer.Argument(help="Recordings, or folders of them; `-` is stdin."),
    ],
    model: Annotated[str, typer.Option(help="`tiny.en`, a folder, or a hub name.")] = "tiny.en",
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = "text",
    words: Annotated[bool, typer.Option("--words", help="Word times too (in json).")] = False,
    language: Annotated[str | None, typer.Option(help="As `en` or English; `auto` detects it.")] = None,
    task: Annotated[
        Literal["transcribe", "translate"], typer.Option(help="`translate` writes English.")
    ] = "transcribe",
    track: Annotated[int | None, typer.Option(help="An audio track by its number, from 1.")] = None,
    multichannel: Annotated[
        bool, typer.Option("--multichannel", help="Each channel by itself, as calls have a speaker on each.")
    ] = False,
    long_form: Annotated[LongForm, typer.Option(help=LONG_FORM)] = "pauses",
    device: Annotated[str, typer.Option(help="`cpu`, `cuda` or `auto`.")] = "auto",
    output: Annotated[
        Path | None,
        typer.Option(help="A folder: one file per recording, in the subfolders that recordings are in."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in the folder.")] = False,
) -> None:
    """Transcribe recordings, or all recordings in folders, to stdout or into a folder.

    A file that cannot be transcribed is named on stderr and the others go on; the exit status is then 1. Of a
    file that is cut off, what is there is transcribed, with a warning on stderr.
    """
    from voxray.cli.file_batches import FileBatches
    from voxray.cli.progress import progress_bar
    from voxray.config import parse
    from voxray.whisper.engines import DecodingOptions

    timed = words or form in ("srt", "vtt")  # captions are cut between words
    try:
        recordings = _recordings(files, form, output)
        several = len(recordings) > 1
        asked = {"language": language, "task": task, "words": timed, "pack": several}
        options = parse(DecodingOptions, asked, where="transcribe")
        bar = progress_bar((r.path for r in recordings), multichannel=multichannel)
        transcribe_all = _transcriber(model, device, long_form, options, bar)
    except VoxrayError as e:
        print_error(e)
        raise typer.Exit(1) from e
    failures = 0
    batches = FileBatches(transcribe_all, options, track, multichannel)
    with bar.running():
        for file, transcript in batches.transcripts(recordings):
            try:
                if isinstance(transcript, VoxrayError):
                    raise transcript
                with bar.paused():
                    _write(transcript, file, form, output, overwrite, several=several)
            except VoxrayError as e:
                print_error(e)
                failures += 1
    raise typer.Exit(1 if failures else 0)


def _recordings(paths: Sequence[Path], form: Format, output: Path | None) -> list[InputFile]:
    """Return the recordings in `paths`, for which there is an output each."""
    files = input_files(paths)
    if output is None:
        _check_stdout(form, files)
        return files
    files = list(dict.fromkeys(files))
    check_names(files)
    return files


def _check_stdout(form: Format, files: Sequence[InputFile]) -> None:
    if form in ("srt", "vtt") and len(files) > 1:
        raise ConfigError(
            f"expected --output DIR for {form} captions of {len(files)} files; each needs its own."
        )


def _transcriber(
    model: str, device: str, long_form: LongForm, options: "DecodingOptions", bar: "ProgressBar"
) -> "TranscribeAll":
    from voxray.cli.progress import TrackedEngine
    from voxray.long_form.algorithms import transcribers
    from voxray.whisper.ctranslate import check_language
    from voxray.whisper.models import ctranslate2_folder

    engine = TrackedEngine(ctranslate2_folder(model), bar.advance, device=device)
    check_language(options.language, engine.decoder.languages, model)
    return bar.tracked(transcribers(engine)[long_form])


def _write(
    transcript: Transcript,
    file: InputFile,
    form: Format,
    output: Path | None,
    overwrite: bool,
    *,
    several: bool,
) -> None:
    if output is None:
        print(_for_stdout(transcript, file.path, form, several), flush=True)
        return
    target = output / f"{file.name}{EXTENSIONS[form]}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(
            f"{target}: expected a place that can be written, got another ({e.strerror})."
        ) from e
    with output_file(target, overwrite=overwrite) as out:
        out.write(render(transcript, form) + "\n")


def _for_stdout(transcript: Transcript, file: Path, form: Format, several: bool) -> str:
    """Return one file's text as it is; of several, each under its name, or as a line of JSON."""
    rendered = render(transcript, form)
    if not several:
        return rendered
    if form == "json":
        return json.dumps({"file": str(file), **json.loads(rendered)}, ensure_ascii=False)
    return f"== {file}\n{rendered}"
