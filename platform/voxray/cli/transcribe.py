"""`voxray transcribe`: recordings become text, captions or JSON."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

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

STDIN = Path("-")
EXTENSIONS: dict[Format, str] = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json"}
GROUP_S = 600.0  # of audio that is decoded at a time: enough to pack short recordings


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
    device: Annotated[str, typer.Option(help="`cpu`, `cuda` or `auto`.")] = "auto",
    output: Annotated[Path | None, typer.Option(help="A folder: one file per recording.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in the folder.")] = False,
) -> None:
    """Transcribe recordings, or all recordings in folders, to stdout or into a folder.

    A file that cannot be transcribed is named on stderr and the others go on; the exit status is then 1. Of a
    file that is cut off, what is there is transcribed, with a warning on stderr.
    """
    from voxray.config import parse
    from voxray.whisper.engines import DecodingOptions

    timed = words or form in ("srt", "vtt")  # captions are cut between words
    try:
        recordings = _recordings(files)
        several = len(recordings) > 1
        _check_stdout(form, recordings, output)
        asked = {"language": language, "task": task, "words": timed, "pack": several}
        options = parse(DecodingOptions, asked, where="transcribe")
        engine = _engine(model, device, options)
    except VoxrayError as e:
        print_error(e)
        raise typer.Exit(1) from e
    failures = 0
    for file, transcript in _transcribed(recordings, engine, options, track, multichannel):
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
    from voxray.whisper.ctranslate import CTranslate2Engine, check_language
    from voxray.whisper.models import ctranslate2_folder

    engine = CTranslate2Engine(ctranslate2_folder(model), device=device)
    check_language(options.language, engine.decoder.languages, model)
    return engine


def _transcribed(
    files: list[Path],
    engine: "CTranslate2Engine",
    options: "DecodingOptions",
    track: int | None,
    multichannel: bool,
) -> Iterator[tuple[Path, Transcript | VoxrayError]]:
    """Yield each of `files` with its transcript, or why it has none, in order; short ones share batches."""
    from voxray.audio import duration_s

    waiting: list[tuple[Path, Pcm | VoxrayError]] = []
    for file in files:
        found: Pcm | Transcript | VoxrayError
        try:
            found = _short_or_transcribed(file, engine, options, track, multichannel)
        except VoxrayError as e:
            found = e
        if isinstance(found, Transcript):
            yield from _transcribed_together(waiting, engine, options)
            yield file, found
            waiting = []
            continue
        waiting.append((file, found))
        if sum(duration_s(pcm) for _, pcm in waiting if not isinstance(pcm, VoxrayError)) >= GROUP_S:
            yield from _transcribed_together(waiting, engine, options)
            waiting = []
    yield from _transcribed_together(waiting, engine, options)


def _transcribed_together(
    group: "list[tuple[Path, Pcm | VoxrayError]]", engine: "CTranslate2Engine", options: "DecodingOptions"
) -> Iterator[tuple[Path, Transcript | VoxrayError]]:
    from voxray.transcribe import cutting_for, transcribe_all

    sound = {file: pcm for file, pcm in group if not isinstance(pcm, VoxrayError)}
    transcripts: dict[Path, Transcript | VoxrayError]
    try:
        made = transcribe_all(list(sound.values()), engine, options, cutting_for(engine.min_window_s))
        transcripts = dict(zip(sound, made, strict=True))
    except VoxrayError as e:
        transcripts = dict.fromkeys(sound, e)
    for file, pcm in group:
        yield file, pcm if isinstance(pcm, VoxrayError) else transcripts[file]


def _short_or_transcribed(
    file: Path, engine: "CTranslate2Engine", options: "DecodingOptions", track: int | None, multichannel: bool
) -> "Pcm | Transcript":
    """Return the samples of a recording of one section; the transcript of a longer one, or of channels."""
    from voxray.audio import Selection, channel_count, decode_blocks
    from voxray.speech import sections
    from voxray.transcribe import cutting_for, merge_channels, transcribe_sections

    name, cutting = str(file), cutting_for(engine.min_window_s)
    with _opened(file) as source:

        def transcribed(channel: int) -> Transcript:
            warn = _ignore if channel else print_warning
            blocks = decode_blocks(source, name=name, warn=warn, selection=Selection(track, channel))
            return transcribe_sections(sections(blocks), engine, options, cutting)

        if multichannel:
            channels = channel_count(source, name=name, track=track)
            return merge_channels([transcribed(i) for i in range(channels)])
        found = sections(decode_blocks(source, name=name, warn=print_warning, selection=Selection(track)))
        first, second = next(found, None), next(found, None)
        if first and not first.start and not second:
            return first.pcm
        return transcribe_sections(chain(filter(None, (first, second)), found), engine, options, cutting)


def _ignore(message: str) -> None:
    """Take no notice of a warning that the first channel has given already."""


@contextmanager
def _opened(file: Path) -> Iterator[Path | BinaryIO]:
    """Give `file`, or what comes through it to its end where it is a pipe, or `-` for stdin."""
    if file != STDIN and not file.is_fifo():
        yield file
        return
    with TemporaryFile() as spool:  # decoding has to seek
        if file == STDIN:
            copyfileobj(sys.stdin.buffer, spool)
        else:
            with file.open("rb") as pipe:
                copyfileobj(pipe, spool)
        yield spool


def _write(
    transcript: Transcript, file: Path, form: Format, output: Path | None, overwrite: bool, *, several: bool
) -> None:
    if output is None:
        print(_for_stdout(transcript, file, form, several), flush=True)
        return
    target = output / (("stdin" if file == STDIN else file.stem) + EXTENSIONS[form])
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
