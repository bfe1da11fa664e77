"""What items say about their neighbours and their times."""

from dataclasses import replace
from typing import Any

import pytest

from voxray.corpora.items import Item, previous_texts, timed_segments
from voxray.transcript import Segment

FIRST = Item("a", "/x.wav", "train", "one", "en", recording="x", start_s=0.0, end_s=2.0)
SECOND = replace(FIRST, id="b", text="two", start_s=2.5, end_s=5.0)


def test_a_clip_continues_the_one_right_before_it() -> None:
    third = replace(FIRST, id="c", text="three", start_s=5.0, end_s=None)
    assert previous_texts([third, FIRST, SECOND]) == {"b": "one", "c": "two"}


@pytest.mark.parametrize(
    "other",
    [
        {"recording": "y"},
        {"recording": ""},
        {"speaker": "bert"},
        {"language": "de"},
        {"split": "dev"},
        {"start_s": 5.1},
        {"start_s": 1.5},
        {"start_s": None},
    ],
)
def test_no_text_crosses_recordings_speakers_languages_splits_gaps_and_overlaps(
    other: dict[str, Any],
) -> None:
    assert previous_texts([FIRST, replace(SECOND, **other)]) == {}


@pytest.mark.parametrize("between", [{"text": ""}, {"speaker": "bert"}])
def test_what_lies_between_two_clips_parts_them(between: dict[str, Any]) -> None:
    third = replace(FIRST, id="c", start_s=5.0, end_s=6.0)
    assert "c" not in previous_texts([FIRST, replace(SECOND, **between), third])


def test_segments_end_with_the_clip() -> None:
    segments = (Segment(0.0, 1.0, "a"), Segment(1.0, 3.02, "b"))
    assert timed_segments(segments, 3.0) == (Segment(0.0, 1.0, "a"), Segment(1.0, 3.0, "b"))
    assert timed_segments((), 3.0) == ()


@pytest.mark.parametrize(
    "segments",
    [
        (Segment(0.0, 3.0, "an engine without timestamps"),),
        (Segment(0.0, 2.0, "a"), Segment(1.0, 3.0, "overlap")),
        (Segment(1.0, 2.0, "a"), Segment(0.0, 0.5, "out of order")),
        (Segment(0.0, 2.0, "a"), Segment(2.0, 3.6, "beyond the end")),
        (Segment(0.5, 2.0, "a"), Segment(3.2, 3.4, "after the end")),
    ],
)
def test_times_that_are_of_no_use_are_none(segments: tuple[Segment, ...]) -> None:
    assert timed_segments(segments, 3.0) == ()
