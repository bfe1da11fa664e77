"""What `voxray stream` shows: finals on stdout as they come, the partial on one line of stderr."""

import unicodedata
from typing import Literal, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from voxray.client import Event, Lost
from voxray.transcript import clock
from voxray.wire import Ack, Final, Partial, Ready, SpeechStart, render

CaptionFormat = Literal["text", "srt", "json"]
LAG_SHOWN_S = 3.0


def printable(text: str) -> str:
    """Return `text` on one line and without control characters, which a terminal would obey."""
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in text).split())


def tail(text: str, cells: int) -> str:
    """Return the end of `text` that fits into so many terminal cells, with an ellipsis for the rest."""
    if cell_len(text) <= cells:
        return text
    start, room = len(text), cells - 1
    while start and cell_len(text[start - 1]) <= room:
        start -= 1
        room -= cell_len(text[start])
    while start < len(text) and not cell_len(text[start]):
        start += 1  # an accent whose letter does not fit
    return "…" + text[start:]


def partial_line(stable: str, unstable: str, cells: int, note: str = "") -> Text:
    """Return a partial, cut to `cells`: `stable` as it is, `unstable` dim, after a `note`."""
    stable, whole = printable(stable), printable(stable + unstable)
    shown = tail(whole, cells - cell_len(note))
    hidden = len(whole) - (len(shown) - 1) if shown != whole else 0
    ellipsis = 1 if shown != whole else 0
    line = Text(note, style="dim") + Text(shown)
    line.stylize("dim", len(note) + ellipsis + max(0, len(stable) - hidden))
    return line


class CaptionFormatter:
    """Renders finals in one of the formats."""

    def __init__(self, form: CaptionFormat) -> None:
        self._form = form
        self._cues = 0

    def render(self, final: Final) -> str:
        """Return a line, a numbered cue or a JSON object, with its line end; "" for an empty final."""
        text = printable(final.text)
        if self._form == "json":
            return render(final) + "\n"
        if not text:
            return ""
        if self._form == "text":
            return text + "\n"
        self._cues += 1
        return f"{self._cues}\n{clock(final.start_s, ',')} --> {clock(final.end_s, ',')}\n{text}\n\n"


class CaptionView:
    """Writes finals to `out` as they come; if `err` is a terminal, its last line shows the partial.

    `lag`: show there how far the server is behind audio in real time. `close` it at the end.
    """

    def __init__(self, form: CaptionFormat, out: TextIO, err: TextIO, *, lag: bool = True) -> None:
        self._formatter = CaptionFormatter(form)
        self._out = out
        self._err = Console(file=err, highlight=False, soft_wrap=True)
        self._in_place = self._err.is_terminal and not self._err.is_dumb_terminal
        self._lag = lag
        self._lag_s = 0.0
        self._partial = ("", "")
        self._connected = True

    def show(self, event: Event) -> None:
        """Show one event of a stream."""
        match event:
            case SpeechStart():
                self._partial = ("", "")
            case Partial():
                self._partial = (event.stable, event.unstable)
                self._redraw()
            case Final():
                self._final(event)
            case Ack():
                self._lag_s = event.lag_s
                self._redraw()
            case Lost():
                self._connected = False
                self.note(f"connection lost ({printable(event.reason)}); connecting again")
            case Ready() if not self._connected:
                self._connected = True
                self.note("connected again" if event.resumed else "connected again, to a new session")

    def note(self, sentence: str) -> None:
        """Print a line of its own on stderr."""
        self._erase()
        self._err.print(Text(sentence, style="dim"))
        self._redraw()

    def close(self) -> None:
        """Erase the partial."""
        self._partial = ("", "")
        self._erase()

    def _final(self, final: Final) -> None:
        self._partial = ("", "")
        self._erase()
        self._out.write(self._formatter.render(final))
        self._out.flush()

    def _redraw(self) -> None:
        if not self._in_place:
            return
        self._erase()
        behind = self._lag and self._lag_s >= LAG_SHOWN_S
        note = f"({self._lag_s:.0f} s behind) " if behind else ""
        line = partial_line(*self._partial, self._err.width - 1, note)  # the last cell would wrap
        self._err.print(line, end="")
        self._err.file.flush()

    def _erase(self) -> None:
        if self._in_place:
            self._err.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))
            self._err.file.flush()
