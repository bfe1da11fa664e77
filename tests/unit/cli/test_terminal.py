import io
import json

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from voxray.cli.terminal import CaptionFormatter, CaptionView, partial_line, printable, tail
from voxray.client import Lost
from voxray.wire import Ack, Final, Partial, Ready, SpeechStart


class Tty(io.StringIO):
    """A terminal that keeps what is written."""

    def isatty(self) -> bool:
        return True


@given(st.text(), st.integers(2, 30))
def test_a_tail_fits_and_is_the_end(text: str, cells: int) -> None:
    shown = tail(text, cells)

    assert cell_len(shown) <= cells or not cell_len(text)
    assert text.endswith(shown.removeprefix("…")) or shown == text


def test_wide_characters_count_twice() -> None:
    assert tail("日本語", 6) == "日本語"
    assert tail("日本語", 5) == "…本語"
    assert tail("日本語", 4) == "…語"


def test_an_accent_stays_with_its_letter() -> None:
    assert tail("abe\u0301x", 2) == "…x"


@given(st.text(), st.text(), st.integers(10, 40))
def test_what_may_change_is_dim_and_the_line_fits(stable: str, unstable: str, cells: int) -> None:
    line = partial_line(stable, unstable, cells)

    assert cell_len(line.plain) <= cells
    assert "\n" not in line.plain
    assert "\x1b" not in line.plain


def test_stable_text_is_not_dim() -> None:
    (span,) = partial_line("turn on", " the lights", 80).spans

    assert (span.start, str(span.style)) == (len("turn on"), "dim")
    (span,) = partial_line("turn on", " the lights", 16).spans
    assert span.start == len("…n on")


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[2Jb\nc\x00") == "a [2Jb c"


FINALS = (
    Final(0, 0.5, 1.25, "turn on the lights"),
    Final(1, 2.0, 2.5, ""),
    Final(2, 3.0, 4.0, "please"),
)


def test_cues_are_numbered_and_silence_has_none() -> None:
    formatter = CaptionFormatter("srt")

    assert "".join(map(formatter.render, FINALS)) == (
        "1\n00:00:00,500 --> 00:00:01,250\nturn on the lights\n\n2\n00:00:03,000 --> 00:00:04,000\nplease\n\n"
    )


def test_json_is_a_line_for_each_final() -> None:
    formatter = CaptionFormatter("json")

    lines = [json.loads(formatter.render(final)) for final in FINALS]

    assert [line["text"] for line in lines] == [final.text for final in FINALS]


def test_without_a_terminal_stderr_has_only_losses() -> None:
    out, err = io.StringIO(), io.StringIO()
    view = CaptionView("text", out, err)
    first = Ready("0.a", "t", False, 0, "m")
    for event in (
        first,
        SpeechStart(0, 0.5),
        Partial(0, 0.5, 1.0, "turn", " on"),
        Ack(0, 0, 0, 0.0, 20.0),
        Lost("closed with 1012"),
        Ready("0.a", "t", True, 0, "m"),
        *FINALS,
    ):
        view.show(event)
    view.close()

    assert out.getvalue() == "turn on the lights\nplease\n"
    assert err.getvalue() == "connection lost (closed with 1012); connecting again\nconnected again\n"


def test_what_is_being_spoken_is_drawn_in_place_and_gone_with_its_final() -> None:
    out, err = io.StringIO(), Tty()
    view = CaptionView("text", out, err)
    view.show(Partial(0, 0.5, 1.0, "turn", " on"))

    assert "turn on" in _plain(err.getvalue())
    assert "\n" not in err.getvalue()
    view.show(FINALS[0])
    assert err.getvalue().endswith("\r\x1b[2K")
    assert out.getvalue() == "turn on the lights\n"


def test_lag_is_reported_where_it_matters() -> None:
    err = Tty()
    CaptionView("text", io.StringIO(), err).show(Ack(0, 0, 0, 0.0, 12.4))

    assert "(12 s behind)" in _plain(err.getvalue())


def _plain(text: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", text)
