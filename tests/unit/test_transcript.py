import json
import re

from hypothesis import given
from hypothesis import strategies as st

from voxray.transcript import (
    ChannelSegment,
    Segment,
    Transcript,
    Word,
    clock,
    to_json,
    to_srt,
    to_text,
    to_vtt,
)

TRANSCRIPT = Transcript(
    segments=(
        Segment(0.5, 1.25, "Turn on", (Word("Turn", 0.5, 0.8, 0.9), Word("on", 0.8, 1.25))),
        Segment(61.0, 3_725.5, "the light <now> & then"),
    ),
    language="en",
    duration_s=3_726.0,
)


def test_text_is_a_line_per_segment() -> None:
    assert to_text(TRANSCRIPT) == "Turn on\nthe light <now> & then"
    assert TRANSCRIPT.text == "Turn on the light <now> & then"


def test_srt_numbers_its_cues() -> None:
    assert to_srt(TRANSCRIPT) == (
        "1\n00:00:00,500 --> 00:00:01,250\nTurn on\n\n"
        "2\n00:01:01,000 --> 01:02:05,500\nthe light <now> & then\n"
    )


def test_vtt_escapes_what_it_would_read_as_markup() -> None:
    assert to_vtt(TRANSCRIPT) == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.250\nTurn on\n\n"
        "00:01:01.000 --> 01:02:05.500\nthe light &lt;now&gt; &amp; then\n"
    )


def test_json_holds_every_field() -> None:
    assert json.loads(to_json(TRANSCRIPT)) == {
        "text": "Turn on the light <now> & then",
        "segments": [
            {
                "start_s": 0.5,
                "end_s": 1.25,
                "text": "Turn on",
                "words": [
                    {"text": "Turn", "start_s": 0.5, "end_s": 0.8, "probability": 0.9},
                    {"text": "on", "start_s": 0.8, "end_s": 1.25, "probability": None},
                ],
            },
            {"start_s": 61.0, "end_s": 3725.5, "text": "the light <now> & then", "words": []},
        ],
        "language": "en",
        "duration_s": 3726.0,
    }


def test_json_writes_letters_as_they_are() -> None:
    assert "打开" in to_json(Transcript((Segment(0, 1, "打开"),), "zh", 1.0))


def test_segments_without_words_make_no_cue() -> None:
    assert to_srt(Transcript((Segment(0, 1, " "), Segment(1, 2, "yes")), "en", 2.0)).startswith(
        "1\n00:00:01,"
    )


@given(st.lists(st.text(max_size=20), max_size=5))
def test_no_text_can_break_out_of_its_cue(texts: list[str]) -> None:
    transcript = Transcript(tuple(Segment(i, i + 1, t) for i, t in enumerate(texts)), "en", len(texts))
    spoken = [t for t in texts if t.strip()]

    assert len([c for c in to_srt(transcript).split("\n\n") if c]) == len(spoken)
    assert len(re.findall("-->", to_vtt(transcript))) == len(spoken)


@given(st.integers(0, 360_000_000))
def test_a_clock_reads_back_to_the_millisecond(ms: int) -> None:
    hours, minutes, seconds = clock(ms / 1000, ".").split(":")

    assert int(hours) * 3_600_000 + int(minutes) * 60_000 + round(float(seconds) * 1000) == ms
    assert int(minutes) < 60
    assert float(seconds) < 60


def test_a_clock_rounds_up_into_the_next_minute() -> None:
    assert clock(59.9996, ",") == "00:01:00,000"


def test_segments_of_channels_are_named_in_every_format() -> None:
    call = Transcript((ChannelSegment(0.0, 1.0, "Hi <you>", channel=2), Segment(1.0, 2.0, "Hi")), "en", 2.0)

    assert to_text(call) == "Channel 2: Hi <you>\nHi"
    assert to_srt(call).splitlines()[2] == "Channel 2: Hi <you>"
    assert to_vtt(call).splitlines()[3] == "<v Channel 2>Hi &lt;you&gt;"
    assert json.loads(to_json(call))["segments"][0]["channel"] == 2
