"""Captions: what a viewer reads at a time, at most two lines and seven seconds."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.captions import LINE_COLUMNS, MAX_CUE_S, MAX_LINES, as_cues, columns, render, split_segment
from voxray.transcript import Format, Segment, Transcript, Word

SENTENCE = "Please enter the number of the person that you are calling, then press the pound key and wait. "
SCRIPTS = {
    "latin": SENTENCE * 4,
    "chinese": "请输入您要拨打的电话号码然后按井号键并等待接线员的回答" * 6,
    "thai": "กรุณาป้อนหมายเลขของบุคคลที่คุณกำลังโทรหา" * 6,
    "hindi": "कृपया उस व्यक्ति का नंबर दर्ज करें जिसे आप बुला रहे हैं " * 6,
    "mixed": "请打开 the kitchen light 然后 turn on the radio " * 6,
    "an address": "https://example.org/" + "a" * 200,
}


def timed(text: str, each_s: float, pause_s: float = 0.0) -> Segment:
    """A segment whose words last `each_s` with pauses between."""
    parts = text.split()
    step_s = each_s + pause_s
    words = tuple(Word(w, i * step_s, i * step_s + each_s) for i, w in enumerate(parts))
    return Segment(0.0, words[-1].end_s, text, words)


def unspaced(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("lasts_s", [4.0, 30.0, 200.0])
def test_cues_of_every_script_have_two_lines_and_seven_seconds_at_most(name: str, lasts_s: float) -> None:
    cues = list(split_segment(Segment(1.0, 1.0 + lasts_s, SCRIPTS[name])))

    assert unspaced("".join(c.text for c in cues)) == unspaced(SCRIPTS[name])
    for cue in cues:
        rows = cue.text.split("\n")
        assert 1 <= len(rows) <= MAX_LINES
        assert all(row and columns(row) <= LINE_COLUMNS for row in rows)
        assert cue.end_s - cue.start_s <= MAX_CUE_S + 1e-9
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in pairwise(cues))
    assert (cues[0].start_s, cues[-1].end_s) == pytest.approx((1.0, 1.0 + lasts_s), abs=lasts_s / 4)


def test_cues_begin_and_end_with_their_words() -> None:
    segment = timed(SENTENCE * 3, each_s=0.3, pause_s=0.1)
    cues = list(split_segment(segment))

    starts, ends = {w.start_s for w in segment.words}, {w.end_s for w in segment.words}
    assert all(c.start_s in starts and c.end_s in ends for c in cues)
    assert [w for c in cues for w in c.text.split()] == SENTENCE.split() * 3


def test_a_long_pause_ends_a_cue() -> None:
    words = (Word("Hello", 0.0, 0.5), Word("there.", 0.5, 1.0), Word("Yes?", 5.0, 5.5))
    cues = list(split_segment(Segment(0.0, 5.5, "Hello there. Yes?", words)))

    assert [(c.start_s, c.end_s, c.text) for c in cues] == [(0.0, 1.0, "Hello there."), (5.0, 5.5, "Yes?")]


def test_words_that_are_not_those_of_the_text_do_not_time_it() -> None:
    cues = list(split_segment(Segment(0.0, 2.0, "Hello there", (Word("Goodbye", 0.0, 9.0),))))

    assert [(c.start_s, c.end_s, c.text) for c in cues] == [(0.0, 2.0, "Hello there")]


@given(st.text(max_size=300), st.floats(0, 50))
def test_no_text_is_lost_or_breaks_a_bound(text: str, lasts_s: float) -> None:
    cues = list(split_segment(Segment(0.0, lasts_s, text)))

    assert unspaced("".join(c.text for c in cues)) == unspaced(text)
    assert all(len(c.text.split("\n")) <= MAX_LINES and c.end_s - c.start_s <= MAX_CUE_S for c in cues)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("text", "one two"),
        ("srt", "1\n00:00:00,000 --> 00:00:01,000\none two\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\none two\n"),
    ],
)
def test_a_form_is_chosen_by_its_name(form: Format, expected: str) -> None:
    assert render(Transcript((Segment(0.0, 1.0, "one two"),), "en", 1.0), form) == expected


@pytest.mark.parametrize("form", ["text", "srt", "vtt", "json"])
def test_a_recording_without_speech_renders(form: Format) -> None:
    silence = Transcript((), "und", 3.0)

    assert as_cues(silence) == silence
    assert "00:" not in render(silence, form)
