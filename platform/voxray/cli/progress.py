"""The progress bar of `voxray transcribe`: seconds of audio over all files, on stderr."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from voxray.audio import Pcm, duration_s
from voxray.audio.decoding import probable_s
from voxray.transcribe import TranscribeAll
from voxray.transcript import Transcript
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions

SHOWN = "{task.completed:.0f} of {task.total:.0f} s of audio"


class ProgressBar:
    """Shows how much of `total_s` seconds of audio is transcribed, if `console` is a terminal; else nothing.

    `running` shows it, `paused` hides it while something else is printed, and `tracked` moves it.
    """

    def __init__(self, console: Console, total_s: float) -> None:
        columns = BarColumn(), TextColumn(SHOWN), TimeRemainingColumn()
        shown = console.is_terminal and not console.is_dumb_terminal
        self._progress = Progress(
            *columns, console=console, transient=True, redirect_stdout=False, disable=not shown
        )
        self._total_s = total_s
        self._task = self._progress.add_task("", total=total_s)
        self._finished_s = 0.0  # of audio that is transcribed
        self._current_s = 0.0  # of audio that is being transcribed
        self._encoded_s = 0.0  # of windows of it, some of which overlap or come again

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the bar for the duration of the block."""
        with self._progress:
            yield

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the bar for the duration of the block."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def tracked(self, transcribe_all: TranscribeAll) -> TranscribeAll:
        """Return `transcribe_all`, which now moves the bar by the recordings that it is given."""

        def tracking(recordings: Sequence[Pcm], options: DecodingOptions) -> list[Transcript]:
            self._current_s, self._encoded_s = sum(map(duration_s, recordings)), 0.0
            transcripts = transcribe_all(recordings, options)
            self._finished_s += self._current_s
            self._current_s = self._encoded_s = 0.0
            self._show()
            return transcripts

        return tracking

    def advance(self, encoded_s: float) -> None:
        """Move the bar by a window of what is being transcribed, never past its end."""
        self._encoded_s += encoded_s
        self._show()

    def _show(self) -> None:
        completed_s = self._finished_s + min(self._encoded_s, self._current_s)
        self._progress.update(self._task, completed=completed_s, total=max(self._total_s, completed_s))


def progress_bar(files: Iterable[Path], *, multichannel: bool) -> ProgressBar:
    """Return a bar on stderr for all of `files`, whose lengths are those of their headers."""
    console = Console(stderr=True, force_terminal=sys.stderr.isatty())  # whatever FORCE_COLOR says
    lengths_s = (probable_s(file, multichannel=multichannel) for file in files)
    return ProgressBar(console, sum(lengths_s) if console.is_terminal else 0.0)


class TrackedEngine(CTranslate2Engine):
    """A CTranslate2 engine that calls `on_encode` with the seconds of audio that it has encoded."""

    def __init__(self, folder: Path, on_encode: Callable[[float], None], *, device: str) -> None:
        super().__init__(folder, device=device)
        self._on_encode = on_encode

    def encode(self, clips: Sequence[Pcm], window: float) -> Any:
        """As `CTranslate2Engine.encode`."""
        states = super().encode(clips, window)
        self._on_encode(sum(map(duration_s, clips)))
        return states
