from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_writing_systems import UNSPACED_TEXTS

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import Clip
from voxray.training.cuts import WORD_TOLERANCE_S, cut, random_cut, words_inside
from voxray.transcript import Segment, Word
from voxray.word_segmentation import split_words


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    """Clips of 1 to 6 s whose samples count up, with up to eight words in order."""
    samples = draw(st.integers(SAMPLE_RATE, 6 * SAMPLE_RATE))
    duration_s = samples / SAMPLE_RATE
    times = sorted(draw(st.sets(st.integers(0, int(duration_s * 100)), min_size=2, max_size=9)))
    words = tuple(Word(f"w{i}", a, b) for i, (a, b) in enumerate(pairwise(t / 100 for t in times)))
    bounds = [0, *sorted(draw(st.sets(st.integers(1, 8), max_size=3))), len(words)]
    groups = [words[a:b] for a, b in pairwise(bounds) if words[a:b]]
    segments = tuple(Segment(g[0].start_s, g[-1].end_s, " ".join(w.text for w in g)) for g in groups)
    pcm = (np.arange(samples) % 32_000).astype(np.int16)
    text = " ".join(w.text for w in words)
    return Clip("c", pcm, text, "anna", "de", words, segments, "before", "translate")


@given(clips(), st.integers(0, 999))
def test_a_cut_clip_has_a_stretch_of_the_samples_and_the_words_wholly_inside(clip: Clip, seed: int) -> None:
    made = random_cut(clip, np.random.default_rng(seed))

    start = int(np.flatnonzero(clip.pcm == made.pcm[0])[0])  # samples count up to 2 s, then again
    starts = [
        s
        for s in range(start, len(clip.pcm), 32_000)
        if np.array_equal(clip.pcm[s : s + len(made.pcm)], made.pcm)
    ]
    assert starts
    assert made.duration_s >= 0.499
    assert made.text == " ".join(w.text for w in made.words)
    texts = [w.text for w in clip.words]
    kept = [w.text for w in made.words]
    assert kept == texts[texts.index(kept[0]) :][: len(kept)] if kept else True
    assert all(w.start_s >= 0 and w.end_s <= made.duration_s + 1e-3 for w in made.words)
    assert (made.speaker, made.language, made.id, made.task) == ("anna", "de", "c", "translate")
    assert made.previous == ("before" if start == 0 and starts[0] == 0 else "") or made is clip


@given(clips(), st.integers(0, 999))
def test_the_segments_of_a_cut_clip_say_its_text_in_order_within_its_length(clip: Clip, seed: int) -> None:
    made = random_cut(clip, np.random.default_rng(seed))

    assert not made.segments or " ".join(s.text for s in made.segments) == made.text
    times = [t for s in made.segments for t in (s.start_s, s.end_s)]
    assert times == sorted(times)
    assert all(0 <= t <= made.duration_s + 1e-3 for t in times)
    groups = [set(s.text.split()) for s in clip.segments]
    assert all(any(set(s.text.split()) <= group for group in groups) for s in made.segments)


def test_a_cut_keeps_the_words_that_are_left_of_each_segment() -> None:
    segments = (Segment(0.1, 0.95, "a b"), Segment(0.95, 1.5, "c"))
    clip = replace(CLIP, segments=segments, previous="before")

    assert [(s.text, round(s.start_s, 6), round(s.end_s, 6)) for s in cut(clip, 0.55, 1.5).segments] == [
        ("b", 0.05, 0.35),
        ("c", 0.45, 0.85),
    ]
    assert [s.text for s in cut(clip, 0.0, 0.55).segments] == ["a"]
    assert cut(clip, 0.0, 0.55).previous == "before"
    assert cut(clip, 0.55, 1.5).previous == ""


def test_segments_that_miss_a_word_are_dropped() -> None:
    clip = replace(CLIP, segments=(Segment(0.1, 0.55, "a"), Segment(0.95, 1.5, "c")))

    assert cut(clip, 0.0, 1.45).segments == ()


@pytest.mark.parametrize("language", UNSPACED_TEXTS)
def test_cuts_of_scripts_without_spaces_keep_their_part_of_the_text(language: str) -> None:
    text = UNSPACED_TEXTS[language]
    parts = split_words(text)
    words = tuple(Word(w, 0.3 * i, 0.3 * (i + 1)) for i, w in enumerate(parts))
    pcm = np.zeros(int(0.3 * len(parts) * SAMPLE_RATE), np.int16)
    clip = Clip(
        "c", pcm, text, language=language, words=words, segments=(Segment(0.0, words[-1].end_s, text),)
    )
    rng = np.random.default_rng(0)

    made = [random_cut(clip, rng) for _ in range(50)]

    assert all(m.text in text and m.text == "".join(w.text for w in m.words) for m in made)
    assert all("".join(s.text for s in m.segments) == m.text for m in made)
    assert sum(not m.text for m in made) <= 5


@pytest.mark.parametrize(
    "text",
    [
        "วันนี้ อากาศดี มาก",
        "今天 hello world 很好",
        "ဒီနေ့ ရာသီဥတု သာယာတယ်။",
        "ថ្ងៃនេះ អាកាសធាតុ ល្អណាស់",
        "ມື້ນີ້ ອາກາດ ດີຫຼາຍ",
        "well - I  mean “yes”",
        "내일 비가 온다",
    ],
)
def test_a_cut_keeps_the_spaces_of_its_text(text: str) -> None:
    parts = split_words(text)
    words = tuple(Word(w.strip(), 0.3 * i, 0.3 * (i + 1)) for i, w in enumerate(parts))
    pcm = np.zeros(int(0.3 * len(parts) * SAMPLE_RATE), np.int16)
    segments = (Segment(0.0, words[-1].end_s + 0.1, text),)
    clip = Clip("c", pcm, text, words=words, segments=segments)

    for first in range(len(parts)):
        for last in range(first, len(parts)):
            made = cut(clip, 0.3 * first, 0.3 * (last + 1))
            assert made.text == "".join(parts[first : last + 1]).strip()
            assert [s.text for s in made.segments] == [made.text]


WORDS = (Word("a", 0.2, 0.5), Word("b", 0.6, 0.9), Word("c", 1.0, 1.4))
CLIP = Clip("c", np.arange(24_000, dtype=np.int16), "a b c", words=WORDS)


def test_half_a_word_is_no_word_and_times_start_at_the_cut() -> None:
    made = cut(CLIP, 0.55, 1.2)
    assert made.text == "b"
    assert [round(t, 6) for w in made.words for t in (w.start_s, w.end_s)] == [0.05, 0.35]
    assert np.array_equal(made.pcm, CLIP.pcm[8800:19200])


def test_a_word_that_lacks_its_last_30_ms_is_inside() -> None:
    assert words_inside(WORDS, 0.2 + WORD_TOLERANCE_S, 0.9 - WORD_TOLERANCE_S) == [0, 1]
    assert words_inside(WORDS, 0.2 + 0.04, 0.9 - 0.04) == []
    [_, last] = cut(CLIP, 0.0, 0.88).words
    assert last.end_s == 0.88


def test_no_word_inside_is_no_text() -> None:
    made = cut(CLIP, 0.0, 0.4)
    assert (made.text, made.words) == ("", ())


def test_clips_without_word_times_and_short_ones_stay_whole() -> None:
    rng = np.random.default_rng(0)
    untimed = Clip("c", CLIP.pcm, "a b c")
    short = Clip("c", CLIP.pcm[:15_000], "a", words=WORDS[:1])
    assert random_cut(untimed, rng) is untimed
    assert random_cut(short, rng) is short


def test_ends_starts_and_both_are_cut_and_many_ends_are_ends_of_words() -> None:
    rng = np.random.default_rng(0)
    made = [random_cut(CLIP, rng) for _ in range(400)]
    at_start = [c.pcm[0] != 0 for c in made]
    at_end = [c.pcm[-1] != CLIP.pcm[-1] for c in made]
    pairs = list(zip(at_start, at_end, strict=True))
    assert 0.5 < pairs.count((False, True)) / 400 < 0.7
    assert 0.12 < pairs.count((True, False)) / 400 < 0.28
    assert 0.12 < pairs.count((True, True)) / 400 < 0.28
    ends = {int(w.end_s * SAMPLE_RATE) for w in WORDS}
    on_word = sum(int(c.pcm[-1]) + 1 in ends for c in made)
    assert 0.3 < on_word / 400 < 0.6
