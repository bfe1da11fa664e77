"""Times that overlap a little are put in order."""

from hypothesis import given
from hypothesis import strategies as st

from voxray.long_form.ordering import in_order
from voxray.transcript import Segment, Word

TIMES = st.floats(0.0, 100.0)


@st.composite
def segments(draw: st.DrawFn) -> list[Segment]:
    found = []
    for _ in range(draw(st.integers(0, 5))):
        pairs = [sorted(p) for p in draw(st.lists(st.tuples(TIMES, TIMES), max_size=4))]
        words = tuple(Word("one", start_s, end_s) for start_s, end_s in pairs)
        start_s, end_s = sorted(draw(st.tuples(TIMES, TIMES)))
        found.append(Segment(start_s, end_s, "one", words))
    return found


@given(segments())
def test_times_are_in_order_and_texts_stay(given_segments: list[Segment]) -> None:
    found = list(in_order(given_segments))
    segment_times = [t for s in found for t in (s.start_s, s.end_s)]
    word_times = [t for s in found for w in s.words for t in (w.start_s, w.end_s)]

    assert segment_times == sorted(segment_times)
    assert word_times == sorted(word_times)
    assert all(s.start_s == s.words[0].start_s and s.end_s == s.words[-1].end_s for s in found if s.words)
    assert [(s.text, len(s.words)) for s in found] == [(s.text, len(s.words)) for s in given_segments]


def test_segments_in_order_are_not_changed() -> None:
    words = (Word("one", 1.0, 1.2, 0.9), Word("two", 1.2, 1.5))
    given_segments = [Segment(0.0, 1.0, "zero"), Segment(1.0, 1.5, "one two", words)]

    assert list(in_order(given_segments)) == given_segments
