"""`voxray transcribe`: recordings become text, captions or JSON."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voxray.captions import render
from voxray.cli.messages import print_error, print_warning
from voxray.cli.output import output_file
from voxray.errors import AudioError, ConfigError, OutputError, VoxrayError
from voxray.transcript import Format, Transcript

if TYPE_CHECKING:
    from voxray.audio import Pcm
    from voxray.whisper.ctranslate import CTranslate2Engine
    from voxray.whisper.engines import DecodingOptions

EXTENSIONS: dict[Format, str] = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json"}
GROUP_S = 600.0  # of audio that is decoded at a time: enough to pack short recordings


def transcribe(
    files: Annotated[list[Path], typer.Argument(help="Recordings, or folders of them: any length.")],
    model: Annotated[str, typer.Option(help="`tiny.en`, a folder, or a hub name.")] = "tiny.en",
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = "text",
    words: Annotated[bool, typer.Option("--words", help="Word times too (in json).")] = False,
    language: Annotated[str | None, typer.Option(help="As `en`; detected where not given.")] = None,
    task: Annotated[
        Literal["transcribe", "translate"], typer.Option(help="`translate` writes English.")
    ] = "transcribe",
    device: Annotated[str, typer.Option(help="`cpu`, `cuda` or `auto`.")] = "auto",
    output: Annotated[Path | None, typer.Option(help="A folder: one file per recording.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in the folder.")] = False,
) -> None:
    """Transcribe recordings, or all recordings in folders, to stdout or into a folder.

    A file that cannot be transcribed is named on stderr and the others go on; the exit status is then 1. Of a
    file that is cut off, what is there is transcribed, with a warning on stderr.
    """
    from voxray.whisper.engines import DecodingOptions

    timed = words or form in ("srt", "vtt")  # captions are cut between words
    try:
        recordings = _recordings(files)
        several = len(recordings) > 1
        _check_stdout(form, recordings, output)
        options = DecodingOptions(language=language, task=task, words=timed, pack=several)
        engine = _engine(model, device, options)
    except VoxrayError as e:
        print_error(e)
        raise typer.Exit(1) from e
    failures = 0
    for file, transcript in _transcribed(recordings, engine, options):
        try:
            if isinstance(transcript, VoxrayError):
                raise transcript
            _write(transcript, file, form, output, overwrite, several=several)
        except VoxrayError as e:
            print_error(e)
            failures += 1
    raise typer.Exit(1 if failures else 0)


def _recordings(paths: list[Path]) -> list[Path]:
    """Return `paths` with the recordings in them in place of folders, by name."""
    from voxray.audio import EXTENSIONS as AUDIO_EXTENSIONS

    found = []
    for path in paths:
        inside = sorted(f for f in path.rglob("*") if f.suffix.lower() in AUDIO_EXTENSIONS)
        if path.is_dir() and not inside:
            raise AudioError(f"{path}: expected recordings in the folder, got none.")
        found += inside if path.is_dir() else [path]
    return found


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


def _transcribed(
    files: list[Path], engine: "CTranslate2Engine", options: "DecodingOptions"
) -> Iterator[tuple[Path, Transcript | VoxrayError]]:
    """Yield each of `files` with its transcript, or why it has none, in order."""
    from voxray.transcribe import cutting_for, transcribe_all

    for group in _groups(files):
        sound = {file: pcm for file, pcm in group if not isinstance(pcm, VoxrayError)}
        transcripts: dict[Path, Transcript | VoxrayError]
        try:
            made = transcribe_all(list(sound.values()), engine, options, cutting_for(engine.min_window_s))
            transcripts = dict(zip(sound, made, strict=True))
        except VoxrayError as e:
            transcripts = dict.fromkeys(sound, e)
        for file, pcm in group:
            yield file, pcm if isinstance(pcm, VoxrayError) else transcripts[file]


def _groups(files: list[Path]) -> "Iterator[list[tuple[Path, Pcm | VoxrayError]]]":
    """Yield `files` with their samples, or why they have none, in groups of about `GROUP_S` seconds."""
    from voxray.audio import decode, duration_s

    group: list[tuple[Path, Pcm | VoxrayError]] = []
    seconds = 0.0
    for file in files:
        try:
            pcm = decode(file, warn=print_warning)
            seconds += duration_s(pcm)
            group.append((file, pcm))
        except VoxrayError as e:
            group.append((file, e))
        if seconds >= GROUP_S:
            yield group
            group, seconds = [], 0.0
    if group:
        yield group


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
        out.write(render(transcript, form) + "\n")


def _for_stdout(transcript: Transcript, file: Path, form: Format, several: bool) -> str:
    """Return one file's text as it is; of several, each under its name, or as a line of JSON."""
    rendered = render(transcript, form)
    if not several:
        return rendered
    if form == "json":
        return json.dumps({"file": str(file), **json.loads(rendered)}, ensure_ascii=False)
    return f"== {file}\n{rendered}"
