"""Packing: each clip once, in order, with its own kind, never too long, times moved with it."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voxray.audio import SAMPLE_RATE, WINDOW_SAMPLES
from voxray.corpora.store import Clip
from voxray.labelling.packing import PackingOptions, pack
from voxray.transcript import Segment, Word


def clip(name: str, samples: int, speaker: str = "anna", language: str = "en") -> Clip:
    end_s = samples / SAMPLE_RATE
    pcm = np.full(samples, 7, np.int16)
    return Clip(name, pcm, name, speaker, language, (Word(name, 0.0, end_s),), (Segment(0.0, end_s, name),))


kinds = st.tuples(st.integers(1, 50), st.sampled_from(["", "anna", "bert"]), st.sampled_from(["en", "ja"]))


@given(st.lists(kinds, max_size=30), st.integers(0, 8), st.integers(20, 60))
def test_each_clip_is_in_one_pack_of_its_kind_in_order_and_no_pack_is_too_long(
    described: list[tuple[int, str, str]], gap: int, limit: int
) -> None:
    clips = [clip(f"<{k}>", n, who, language) for k, (n, who, language) in enumerate(described)]
    packs = list(pack(iter(clips), PackingOptions(gap_s=gap / SAMPLE_RATE, max_samples=limit)))
    placed = [w.text for p in packs for w in p.words]
    assert sorted(placed) == sorted(c.id for c in clips)
    origin = {c.id: c for c in clips}
    for p in packs:
        names = [w.text for w in p.words]
        assert {(origin[n].speaker, origin[n].language) for n in names} == {(p.speaker, p.language)}
        assert names == sorted(names, key=lambda n: int(n[1:-1]))
        assert len(p.pcm) <= limit or len(names) == 1
        assert len(p.pcm) == sum(len(origin[n].pcm) for n in names) + gap * (len(names) - 1)


@given(st.lists(kinds, min_size=1, max_size=12), st.integers(0, 8))
def test_times_point_at_the_sound_that_they_name(described: list[tuple[int, str, str]], gap: int) -> None:
    clips = [clip(f"<{k}>", n, who, language) for k, (n, who, language) in enumerate(described)]
    for p in pack(clips, PackingOptions(gap_s=gap / SAMPLE_RATE, max_samples=100)):
        assert [(w.start_s, w.end_s) for w in p.words] == [(s.start_s, s.end_s) for s in p.segments]
        sounding = np.zeros(len(p.pcm), bool)
        for segment in p.segments:
            sounding[round(segment.start_s * SAMPLE_RATE) : round(segment.end_s * SAMPLE_RATE)] = True
        np.testing.assert_array_equal(sounding, p.pcm != 0)


def test_each_sentence_keeps_its_start_and_end_within_the_pack() -> None:
    long = replace(
        clip("a", 32_000),
        text="a b",
        segments=(Segment(0.25, 0.5, "a"), Segment(1.0, 1.5, "b")),
        previous="z",
    )
    untimed = replace(clip("c", 16_000), words=(), segments=())
    spoken = replace(clip("d", 16_000), words=(Word("d", 0.25, 0.75),), segments=())
    (packed,) = pack([long, untimed, spoken], PackingOptions(gap_s=0.5))
    assert packed.segments == (
        Segment(0.25, 0.5, "a"),
        Segment(1.0, 1.5, "b"),
        Segment(2.5, 3.5, "c"),
        Segment(4.25, 4.75, "d"),
    )
    assert (packed.text, packed.previous) == ("a b c d", "z")


def test_exactly_thirty_seconds_with_the_gap_fit_and_one_sample_more_does_not() -> None:
    gap = round(0.2 * SAMPLE_RATE)
    fitting = [clip("a", 240_000), clip("b", 240_000 - gap)]
    assert [len(p.pcm) for p in pack(fitting, PackingOptions())] == [WINDOW_SAMPLES]
    over = [clip("a", 240_000), clip("b", 240_001 - gap)]
    assert len(list(pack(over, PackingOptions()))) == 2


def test_tasks_are_not_mixed_and_translations_are_joined_as_english() -> None:
    translated = [replace(clip(text, 9, "", "ja"), task="translate") for text in "ab"]
    spoken = [clip("今", 9, "", "ja"), clip("日", 9, "", "ja")]
    packed = list(pack([*spoken, *translated], PackingOptions()))
    assert [(p.task, p.text) for p in packed] == [("transcribe", "今日"), ("translate", "a b")]


def test_words_are_dropped_where_those_of_one_clip_are_not_known() -> None:
    unknown = Clip("b", np.ones(9, np.int16), "b", "anna")
    silent = Clip("c", np.zeros(9, np.int16), "", "anna")
    assert next(pack([clip("a", 9), unknown], PackingOptions())).words == ()
    assert [w.text for w in next(pack([clip("a", 9), silent], PackingOptions())).words] == ["a"]


def test_a_pack_holds_no_more_clips_than_its_text_has_room_for() -> None:
    clips = [clip(f"{k:02}", 100) for k in range(10)]
    packs = list(pack(clips, PackingOptions(), lambda text: len(text) <= 8))

    assert [p.text for p in packs] == ["00 01 02", "03 04 05", "06 07 08", "09"]
