"""The command line: `voxray transcribe FILE...`, `voxray stream FILE`, `voxray doctor`, `voxray --version`.

Commands import what they need when they run: `--version` answers at once, and `doctor` also where a library
is broken.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voxray.errors import ConfigError, OutputError, VoxrayError
from voxray.transcript import Format, Transcript

if TYPE_CHECKING:
    from voxray.whisper.ctranslate import CTranslate2Engine
    from voxray.whisper.engines import DecodingOptions

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it
EXTENSIONS: dict[Format, str] = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json"}

app = typer.Typer(
    help="Distil Whisper on your audio and serve it to live microphones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
def transcribe(
    files: Annotated[list[Path], typer.Argument(help="Recordings: any codec, any length.")],
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
    """Transcribe recordings to stdout, or into a folder.

    A file that cannot be transcribed is named on stderr and the others go on; the exit status is then 1.
    """
    from voxray.whisper.engines import DecodingOptions

    try:
        _check_stdout(form, files, output)
        options = DecodingOptions(language=language, task=task, words=words)
        engine = _engine(model, device, options)
    except VoxrayError as e:
        _complain(e)
        raise typer.Exit(1) from e
    failures = 0
    for file in files:
        try:
            _write(_transcribed(file, engine, options), file, form, output, overwrite, several=len(files) > 1)
        except VoxrayError as e:
            _complain(e)
            failures += 1
    raise typer.Exit(1 if failures else 0)


@app.command()
def stream(
    file: Annotated[Path | None, typer.Argument(help="A recording: any codec.")] = None,
    mic: Annotated[bool, typer.Option("--mic", help="This machine's microphone instead.")] = False,
    url: Annotated[str, typer.Option(help="The server.")] = "ws://127.0.0.1:8000/v1/stream",
    form: Annotated[Literal["text", "srt", "json"], typer.Option("--format", help="What to write.")] = "text",
    fast: Annotated[bool, typer.Option("--fast", help="Not in real time, but as the server can.")] = False,
    words: Annotated[bool, typer.Option("--words", help="Word times too (in json).")] = False,
    language: Annotated[str | None, typer.Option(help="As `en`; detected where not given.")] = None,
    prompt: Annotated[str, typer.Option(help="Text that comes before, in its style.")] = "",
    hotwords: Annotated[str, typer.Option(help="Words that are likely.")] = "",
    key: Annotated[str | None, typer.Option(envvar="VOXRAY_API_KEY", help="Where the server asks.")] = None,
    output: Annotated[Path | None, typer.Option(help="A file instead of stdout.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that file.")] = False,
) -> None:
    """Stream a recording or the microphone to a server, and write what is said as it comes.

    Ctrl-C ends the audio and waits for the last words; a second one leaves at once.
    """
    import asyncio

    from voxray.client.captions import caption
    from voxray.client.draft import draft
    from voxray.client.terminal import View
    from voxray.config import parse
    from voxray.wire import Start

    asked = {"words": words, "language": language, "prompt": prompt, "hotwords": hotwords, "api_key": key}
    try:
        start = parse(Start, asked, where="stream")
        source = _source(file, mic, fast)
        with draft(output, overwrite=overwrite) if output else nullcontext(sys.stdout) as out:
            view = View(form, out, sys.stderr, lag=not fast)
            asyncio.run(caption(url, start, source, view, live=mic))
    except VoxrayError as e:
        _complain(e)
        raise typer.Exit(1) from e
    except asyncio.CancelledError as e:
        raise typer.Exit(INTERRUPTED) from e


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


def _source(file: Path | None, mic: bool, fast: bool) -> AsyncIterator[bytes]:
    """16 kHz mono s16le from where it is asked for."""
    from voxray.client.sources import microphone, played

    if (file is None) is not mic:
        raise ConfigError("expected a FILE or --mic, one of them; for example `voxray stream talk.mp3`.")
    if mic and fast:
        raise ConfigError("expected --fast with a FILE; --mic gives audio as it is spoken, and no faster.")
    if file is None:
        return microphone()
    from voxray.audio import decode

    return played(decode(file).astype("<i2").tobytes(), paced=not fast)


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

    return transcribe(decode(file), engine, options, cutting_for(engine.min_window_s))


def _write(
    transcript: Transcript, file: Path, form: Format, output: Path | None, overwrite: bool, *, several: bool
) -> None:
    if output is None:
        print(_for_stdout(transcript, file, form, several), flush=True)
        return
    target = output / (file.stem + EXTENSIONS[form])
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: expected no such file yet, and there is one; add --overwrite.")
    try:
        output.mkdir(parents=True, exist_ok=True)
        target.write_text(transcript.render(form) + "\n", encoding="utf-8")
    except OSError as e:
        raise OutputError(f"{target}: expected to write there, and it cannot be done ({e.strerror}).") from e


def _for_stdout(transcript: Transcript, file: Path, form: Format, several: bool) -> str:
    """One file as it is; of several, each text under its name, and each JSON object on its own line."""
    rendered = transcript.render(form)
    if not several:
        return rendered
    if form == "json":
        return json.dumps({"file": str(file), **json.loads(rendered)}, ensure_ascii=False)
    return f"== {file}\n{rendered}"


def _complain(error: VoxrayError) -> None:
    print(f"error: {error}", file=sys.stderr, flush=True)
