"""Items become pieces of at most 30 s: whole, at pauses, at sentences, or rejected saying why."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL_CLIPS

from voxray.audio import SAMPLE_RATE, WINDOW_SAMPLES, Pcm, decode
from voxray.corpora.items import Item, Rejected
from voxray.corpora.reading import DecodedItem
from voxray.labelling.cutting import pieces
from voxray.labelling.pieces import Piece, item_table, items_of, piece_table, pieces_of
from voxray.transcript import Segment


def item(**values: object) -> Item:
    return Item(**{"id": "x", "source": "/x.wav", "split": "train", "recording": "x", **values})  # type: ignore[arg-type]  # the values are the fields'


def ramp(seconds: float) -> Pcm:
    return (np.arange(round(seconds * SAMPLE_RATE)) % 30_000).astype(np.int16)


def cut(given: Item, pcm: Pcm) -> list[Piece]:
    return pieces(DecodedItem(given, pcm), given, 0.6)


def reason(given: Item, pcm: Pcm) -> str:
    (piece,) = cut(given, pcm)
    assert (piece.parts, piece.audio) == (1, b"")
    return piece.reason or ""


def test_up_to_thirty_seconds_stay_whole_with_their_place() -> None:
    (piece,) = cut(item(text="a", start_s=2.0, end_s=32.0), ramp(30.0))
    assert (piece.id, piece.parts, piece.text) == ("x", 1, "a")
    assert (piece.start_s, piece.end_s, len(piece.pcm)) == (2.0, 32.0, WINDOW_SAMPLES)
    np.testing.assert_array_equal(piece.pcm, ramp(30.0))


def test_one_text_for_more_is_rejected() -> None:
    assert "at most 30 s for one text;" in reason(item(text="a"), ramp(30.01))


def test_a_long_recording_without_speech_is_rejected() -> None:
    assert "expected speech, got none" in reason(item(), np.zeros(31 * SAMPLE_RATE, np.int16))


def test_a_long_recording_that_is_marked_as_silent_is_cut_into_windows() -> None:
    found = cut(item(text="", sentences=()), ramp(61.0))
    assert [(p.id, p.start_s, p.end_s, p.text) for p in found] == [
        ("x#0000", 0.0, 30.0, ""),
        ("x#0001", 30.0, 60.0, ""),
        ("x#0002", 60.0, 61.0, ""),
    ]
    assert all(p.no_speech and p.parts == 3 for p in found)
    np.testing.assert_array_equal(np.concatenate([p.pcm for p in found]), ramp(61.0))


def test_a_long_recording_with_sentences_is_cut_between_them() -> None:
    sentences = tuple(Segment(k * 12.0, k * 12.0 + 11, f"s{k}") for k in range(4))
    found = cut(item(text="all", sentences=sentences, start_s=100.0), ramp(48.0))
    assert [(p.start_s, p.end_s, p.text) for p in found] == [(100.0, 123.0, "s0 s1"), (124.0, 147.0, "s2 s3")]
    np.testing.assert_array_equal(found[1].pcm, ramp(48.0)[24 * SAMPLE_RATE : 47 * SAMPLE_RATE])


def test_texts_of_languages_without_spaces_are_joined_without_them() -> None:
    sentences = (Segment(0, 10, "今日は"), Segment(10, 20, "晴れ"), Segment(20, 31, "です"))
    assert [p.text for p in cut(item(language="ja", sentences=sentences), ramp(31))] == ["今日は晴れ", "です"]


def test_sentences_that_cannot_be_cut_apart_are_rejected() -> None:
    long = (Segment(0, 31, "a"),)
    crossed = (Segment(0, 20, "a"), Segment(10, 30, "b"))
    late = (Segment(0, 20, "a"), Segment(30, 45, "b"))
    assert "got a longer one" in reason(item(sentences=long), ramp(40))
    assert "got some that overlap" in reason(item(sentences=crossed), ramp(40))
    assert "up to 45 s, got audio that ends before" in reason(item(sentences=late), ramp(40))


def test_what_could_not_be_read_keeps_its_reason() -> None:
    (piece,) = pieces(Rejected("x", "/x.wav", "why"), item(), None)
    assert (piece.reason, piece.item, piece.parts) == ("why", "x", 1)


def test_speech_is_cut_at_pauses_into_numbered_pieces_with_offsets() -> None:
    clip = decode(min(SMALL_MODEL_CLIPS.glob("*.ogg")))
    pause = np.zeros(14 * SAMPLE_RATE, np.int16)
    pcm = np.concatenate([clip, pause, clip, pause, clip])
    found = cut(item(start_s=5.0), pcm)
    starts = [5 + k * (len(clip) + len(pause)) / SAMPLE_RATE for k in range(3)]
    assert [p.id for p in found] == ["x#0000", "x#0001", "x#0002"]
    for piece, start_s in zip(found, starts, strict=True):
        assert start_s - 0.25 <= piece.start_s < piece.end_s <= start_s + len(clip) / SAMPLE_RATE + 0.25
        first = round((piece.start_s - 5.0) * SAMPLE_RATE)
        np.testing.assert_array_equal(piece.pcm, pcm[first : first + len(piece.pcm)])


texts = st.none() | st.text(max_size=5)
times = st.none() | st.floats(0, 1e5)
segments = st.builds(Segment, st.floats(0, 9), st.floats(9, 20), st.text(max_size=5))
items = st.builds(
    Item,
    *(st.text(max_size=5),) * 3,
    text=texts,
    language=texts,
    task=texts,
    speaker=st.text(max_size=5),
    recording=st.text(max_size=5),
    start_s=times,
    end_s=times,
    sentences=st.none() | st.lists(segments, max_size=3).map(tuple),
)


@given(st.lists(items, max_size=4))
def test_items_travel_through_tables_unchanged(given_: list[Item]) -> None:
    assert items_of(item_table(given_)) == given_


def test_pieces_travel_through_tables_unchanged() -> None:
    found = cut(item(text="", sentences=()), ramp(31.0))
    assert pieces_of(piece_table(found)) == found
