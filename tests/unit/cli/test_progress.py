"""How far the progress bar is."""

import io
from collections.abc import Sequence

import numpy as np
from rich.console import Console

from voxray.audio import SAMPLE_RATE, Pcm
from voxray.cli.progress import ProgressBar
from voxray.transcript import Transcript
from voxray.whisper.engines import DecodingOptions

TEN_S = np.zeros(10 * SAMPLE_RATE, np.int16)


def shown_after(total_s: float, encoded_s: Sequence[float], *, is_terminal: bool = True) -> str:
    """What a bar printed over two recordings of 10 s, of which windows of so many seconds were encoded."""
    screen = io.StringIO()
    bar = ProgressBar(Console(file=screen, force_terminal=is_terminal, width=100), total_s)

    def transcribe_all(recordings: Sequence[Pcm], options: DecodingOptions) -> list[Transcript]:
        for seconds in encoded_s:
            bar.advance(seconds)
            with bar.paused():
                pass  # draws it again
        return [Transcript((), "en", 10.0) for _ in recordings]

    with bar.running():
        bar.tracked(transcribe_all)([TEN_S, TEN_S], DecodingOptions())
    return screen.getvalue()


def test_it_goes_on_with_each_window_and_never_past_what_is_transcribed() -> None:
    shown = shown_after(30.0, [5.0, 5.0, 90.0])

    for seconds in (5, 10, 20):
        assert f"{seconds} of 30 s of audio" in shown
    assert "100 of" not in shown


def test_the_total_grows_where_headers_told_less() -> None:
    assert "20 of 20 s of audio" in shown_after(0.0, [20.0])


def test_nothing_is_shown_elsewhere_than_on_a_terminal() -> None:
    assert shown_after(30.0, [5.0], is_terminal=False) == ""
