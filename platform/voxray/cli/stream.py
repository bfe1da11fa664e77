"""`voxray stream`: a recording or the microphone goes to a server, and captions come back."""

import sys
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from voxray.cli.messages import print_error
from voxray.errors import ConfigError, VoxrayError

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


def stream(
    file: Annotated[Path | None, typer.Argument(help="A recording: any codec and length.")] = None,
    mic: Annotated[bool, typer.Option("--mic", help="This machine's microphone instead.")] = False,
    url: Annotated[str, typer.Option(help="The server.")] = "ws://127.0.0.1:8000/v1/stream",
    form: Annotated[Literal["text", "srt", "json"], typer.Option("--format", help="What to write.")] = "text",
    fast: Annotated[bool, typer.Option("--fast", help="Not in real time, but as the server can.")] = False,
    words: Annotated[bool, typer.Option("--words", help="Word times too (in json).")] = False,
    language: Annotated[str | None, typer.Option(help="As `en` or English; `auto` detects it.")] = None,
    model: Annotated[str | None, typer.Option(help="One of the server's, not its default.")] = None,
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

    from voxray.cli.captions import stream_captions
    from voxray.cli.output import output_file
    from voxray.cli.terminal import CaptionView
    from voxray.config import parse
    from voxray.wire import Start

    asked = {"words": words, "language": language, "model": model, "prompt": prompt, "hotwords": hotwords}
    try:
        start = parse(Start, {**asked, "api_key": key}, where="stream")
        source = _source(file, mic, fast)
        with output_file(output, overwrite=overwrite) if output else nullcontext(sys.stdout) as out:
            view = CaptionView(form, out, sys.stderr, lag=not fast)
            asyncio.run(stream_captions(url, start, source, view, live=mic))
    except VoxrayError as e:
        print_error(e)
        raise typer.Exit(1) from e
    except asyncio.CancelledError as e:
        raise typer.Exit(INTERRUPTED) from e


def _source(file: Path | None, mic: bool, fast: bool) -> AsyncIterator[bytes]:
    """Return the 16 kHz mono s16le audio that the options ask for."""
    from voxray.cli.sources import microphone, recording

    if (file is None) is not mic:
        raise ConfigError("expected a FILE or --mic, one of them; for example `voxray stream talk.mp3`.")
    if mic and fast:
        raise ConfigError("expected --fast with a FILE; --mic gives audio as it is spoken, and no faster.")
    return microphone() if file is None else recording(file, real_time=not fast)
