"""Overlapping chunks: they cover a recording, and are joined without losing or doubling a word."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import SAMPLE_RATE, decode, duration_s
from voxray.long_form.chunked import chunk_spans, join_chunks, join_pair, join_segments, transcribe_chunked
from voxray.speech import Span
from voxray.transcript import Segment, Word, shifted
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions, DecodingResult

FEW = st.sampled_from(["six", "seven", "the"])  # so that the same word comes several times in a row


@st.composite
def spoken(draw: st.DrawFn) -> list[Word]:
    """Words of a recording, in order; none lasts longer than the overlap of 5 s."""
    words, at_s = list[Word](), 0.0
    for _ in range(draw(st.integers(0, 60))):
        at_s += draw(st.sampled_from([0.0, 0.02, 0.1, 0.5, 3.0, 20.0]))
        end_s = at_s + draw(st.sampled_from([0.06, 0.1, 0.24, 0.7, 2.0, 4.0]))
        words.append(Word(draw(FEW), at_s, end_s))
        at_s = end_s
    return words


def heard(words: Sequence[Word], spans: Sequence[Span]) -> list[list[Word]]:
    """What is in each span: the words that lie wholly in it."""
    return [[w for w in words if s.start_s <= w.start_s and w.end_s <= s.end_s] for s in spans]


@given(st.floats(0.1, 500.0))
def test_chunks_cover_the_recording_and_overlap(lasts_s: float) -> None:
    spans = chunk_spans(lasts_s)
    assert spans[0].start_s == 0.0
    assert spans[-1].end_s == lasts_s
    for before, after in pairwise(spans):
        assert before.length_s == 30.0
        assert before.end_s - after.start_s == pytest.approx(5.0)


@given(spoken())
@example([Word("six", k * 0.1, (k + 1) * 0.1) for k in range(600)])
@example([Word("six", k * 4.0, (k + 1) * 4.0) for k in range(30)])
def test_no_word_is_lost_or_doubled_where_the_chunks_are_decoded_right(words: list[Word]) -> None:
    spans = chunk_spans(words[-1].end_s if words else 10.0)
    assert join_chunks(heard(words, spans), spans, str) == words


def words_of(text: str, from_s: float, every_s: float = 0.5) -> list[Word]:
    return [Word(w, from_s + k * every_s, from_s + (k + 1) * every_s) for k, w in enumerate(text.split())]


def joined(left: list[Word], right: list[Word]) -> str:
    return " ".join(w.text for w in join_pair(left, right, Span(25.0, 30.0), str.lower))


def test_words_that_are_garbled_at_the_edges_come_from_the_other_chunk() -> None:
    left = words_of("turn on the kitchen light at nan", 26.4)
    right = words_of("known the Kitchen light at nine please", 27.0)
    assert joined(left, right) == "turn on the Kitchen light at nine please"


def test_a_word_that_one_chunk_misses_does_not_break_the_match() -> None:
    left = words_of("one two three four five six seven", 25.0)
    right = [w for w in words_of("one two three four five six seven eight", 25.1) if w.text != "two"]
    assert joined(left, right) == "one two three four five six seven eight"


def test_times_that_differ_a_little_do_not_double_a_repeated_word() -> None:
    assert joined(words_of("six six six six", 27.0), words_of("six six six", 27.7)) == "six six six six"


def test_without_a_match_each_has_its_half_of_the_overlap() -> None:
    assert joined(words_of("a b c d e f", 25.0, 0.9), words_of("u v w x y z", 25.0, 0.9)) == "a b c x y z"


def result_of(*segments: Segment) -> DecodingResult:
    """The result of a chunk whose segments have words; times count from its start."""
    words = tuple(w for s in segments for w in s.words)
    return DecodingResult(" ".join(s.text for s in segments), "en", (), segments, words, -0.1, 0.0, 1.0)


def segment_of(text: str, from_s: float) -> Segment:
    words = tuple(words_of(text, from_s))
    return Segment(words[0].start_s, words[-1].end_s, text, words)


def test_a_segment_that_a_join_falls_into_goes_on_from_the_next_chunk() -> None:
    left = result_of(segment_of("Turn on the light.", 20.0), segment_of("At nine please call", 27.0))
    right = result_of(segment_of("nine please call me back.", 2.5), segment_of("Thank you.", 8.0))
    found = list(join_segments([Span(0.0, 30.0), Span(25.0, 40.0)], [left, right], str.lower))

    assert [s.text for s in found] == ["Turn on the light.", "At nine please call me back.", "Thank you."]
    assert [(s.start_s, s.end_s) for s in found] == [(20.0, 22.0), (27.0, 30.0), (33.0, 34.0)]
    assert all(" ".join(w.text for w in s.words) == s.text for s in found)


def one_word_segment(word: Word) -> Segment:
    return Segment(word.start_s, word.end_s, word.text, (word,))


@given(spoken())
def test_segments_of_chunks_that_are_decoded_right_have_each_word_once_in_order(words: list[Word]) -> None:
    spans = chunk_spans(words[-1].end_s if words else 10.0)
    chunks = [
        result_of(*(one_word_segment(shifted(w, -span.start_s)) for w in own))
        for own, span in zip(heard(words, spans), spans, strict=True)
    ]
    found = list(join_segments(spans, chunks, str))
    times = [t for s in found for w in s.words for t in (w.start_s, w.end_s)]

    assert [w.text for s in found for w in s.words] == [w.text for w in words]
    assert times == sorted(times)


def test_recordings_in_chunks_share_a_call_and_an_empty_one_has_no_text() -> None:
    engine = CTranslate2Engine(SMALL_MODEL_INT8, device="cpu")
    clips = [decode(file) for file in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:8]]
    long = np.concatenate([part for clip in clips for part in (clip, np.zeros(2 * SAMPLE_RATE, np.int16))])
    assert len(long) > 30 * SAMPLE_RATE
    whole, short, empty = transcribe_chunked([long, clips[0], long[:0]], engine, DecodingOptions())

    assert (empty.segments, empty.language) == ((), "und")
    assert whole.text.startswith(short.text[:5])
    assert whole.duration_s == round(duration_s(long), 3)
    times = [t for s in whole.segments for t in (s.start_s, s.end_s)]
    assert times == sorted(times)
    assert 30.0 < times[-1] <= whole.duration_s
    assert not any(s.words for s in whole.segments)
