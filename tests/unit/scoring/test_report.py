"""The report: complete in itself, escaped, and true to its numbers."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from voxray.audio import SAMPLE_RATE, decode, duration_s
from voxray.corpora.store import Clip
from voxray.scoring.plots import wer_by_speaker, wer_histogram
from voxray.scoring.report import ModelScores, ReportTable, data_uri, summary_row, write_report
from voxray.scoring.suites import Scores, scores_of

TONE = (8000 * np.sin(np.arange(3 * SAMPLE_RATE) / 8)).astype(np.int16)
CLIPS = [
    Clip("one<b>", TONE, "turn on <the> light", "ann $5"),
    Clip("two", TONE, "it is nine & five", "bob"),
    Clip("three", TONE, "right as it is", "bob"),
]


def scored(*texts: str) -> Scores:
    return scores_of(CLIPS, texts, compute_s=0.5, normaliser="basic")


TEACHER = ModelScores(
    "teacher <1>", scored("turn on the <script>", "it is nine five", "right as it is"), 4_000_000, 12.34
)
STUDENT = ModelScores("student", scored("turn off light", "it is five", "right as it is"))


class Page(HTMLParser):
    """Opened tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [a for name, a in self.tags if name == tag]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "deep" / "report.html"
    audio = {c.id: c.pcm for c in CLIPS}
    tables = [ReportTable("By <window>", ("Model", "2 s"), [("teacher <1>", "7.5"), ("student", "8.25")])]
    write_report(
        path, "A & <B>", [TEACHER, STUDENT], audio=audio, notes=["5 < 6"], tables=tables, normaliser="basic"
    )
    return path.read_text()


def test_texts_and_names_are_escaped(html: str) -> None:
    page = Page(html)
    assert "A &amp; &lt;B&gt;" in html
    assert not page.attributes("script")
    assert not page.attributes("b")
    for text in ("A & <B>", "teacher <1>", "turn on <the> light", "5 < 6", "one<b>", "By <window>"):
        assert text in page.text


def test_nothing_is_fetched_from_elsewhere(html: str) -> None:
    page = Page(html)
    sources = [a[key] or "" for _, a in page.tags for key in ("src", "href", "xlink:href") if key in a]
    assert sources
    assert all(s.startswith(("data:", "#")) for s in sources)
    assert not page.attributes("link")
    assert "@import" not in html


def test_each_worst_clip_has_its_player_and_the_right_ones_are_not_shown(html: str) -> None:
    players = Page(html).attributes("audio")
    assert [p["aria-label"] for p in players] == ["Recording of one<b>", "Recording of two"]
    for player in players:
        opus = base64.b64decode((player["src"] or "").partition("base64,")[2])
        assert duration_s(decode(opus)) == pytest.approx(3.0, abs=0.05)


def test_edits_are_marked_by_element_not_by_colour_alone(html: str) -> None:
    marked = re.findall(r"<(del|ins)>([^<]*)</\1>", html)
    assert ("del", "on the") in marked or ("del", "on") in marked
    assert ("ins", "off") in marked


def test_the_table_and_the_plots_are_named_for_screen_readers(html: str) -> None:
    page = Page(html)
    assert page.attributes("html") == [{"lang": "en"}]
    assert {h.get("scope") for h in page.attributes("th")} == {"col", "row"}
    drawings = page.attributes("svg")
    assert len(drawings) == 3
    assert all(d["role"] == "img" and d["aria-label"] for d in drawings)


def test_a_further_table_has_its_rows_with_the_first_cell_as_their_heading(html: str) -> None:
    text = " ".join(Page(html).text.split())
    assert "By <window> Model2 s teacher <1>7.5 student8.25" in text
    assert '<th scope="row">student</th><td>8.25</td>' in html


def test_no_id_stands_twice(html: str) -> None:
    ids = [str(a["id"]) for _, a in Page(html).tags if "id" in a]
    assert len(ids) == len(set(ids)) > 0


def test_a_row_gives_the_scores() -> None:
    # teacher: "the light" -> "the script" is 1 of 4 + 4 + 4 words ("&" is dropped); nothing else.
    assert tuple(summary_row(TEACHER).cells.values()) == (
        "8.33",
        f"{100 * TEACHER.scores.summary.wer_low:.2f} to {100 * TEACHER.scores.summary.wer_high:.2f}",
        f"{100 * TEACHER.scores.summary.cer:.2f}",
        "8.33 / 0.00 / 0.00",
        "0.0",
        "18.0",
        "4.00 M",
        "12.3",
    )
    assert tuple(summary_row(STUDENT).cells.values())[-2:] == ("", "")


def test_a_report_without_errors_or_speakers_or_audio_is_whole(tmp_path: Path) -> None:
    clip = Clip("a", TONE, "one")
    scores = scores_of([clip], ["one"], compute_s=1.0, normaliser="basic")
    html = write_report(tmp_path / "r.html", "t", [ModelScores("m", scores)]).read_text()
    assert "No clip has an error." in html
    assert len(Page(html).attributes("svg")) == 2


def test_languages_without_spaces_are_reported_in_characters(tmp_path: Path) -> None:
    chinese = Clip("a", TONE, "打开厨房的灯", language="zh")
    scores = scores_of([chinese], ["打开房灯"], compute_s=1.0)
    assert list(summary_row(ModelScores("m", scores)).cells)[:3] == [
        "CER, %",
        "95 % interval",
        "S / D / I, %",
    ]
    html = write_report(tmp_path / "r.html", "t", [ModelScores("m", scores)]).read_text()
    assert "<dt>characters</dt><dd>6</dd>" in html
    assert "<dt>hypothesis, 33 %</dt>" in html
    assert "<del>厨</del>" in html
    mixed = scores_of([chinese, *CLIPS], ["", "", "", ""], compute_s=1.0)
    assert next(iter(summary_row(ModelScores("m", mixed)).cells)) == "MER, %"


def test_plots_are_svg_in_the_pages_own_colour() -> None:
    plot = wer_by_speaker({"m": TEACHER.scores.speakers, "n": STUDENT.scores.speakers})
    root = ElementTree.fromstring(plot)
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"ann $5", "bob", "m", "n"} <= set(texts)
    assert "currentColor" in plot
    assert "#010203" not in plot


def test_the_same_scores_draw_the_same_plot() -> None:
    models = {"m": TEACHER.scores.clips}
    assert wer_histogram(models) == wer_histogram(models)


def test_a_player_holds_at_most_a_minute() -> None:
    opus = base64.b64decode(data_uri(np.tile(TONE, 25)).partition("base64,")[2])
    assert duration_s(decode(opus)) == pytest.approx(60.0, abs=0.1)
