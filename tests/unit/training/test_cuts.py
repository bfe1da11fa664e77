from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import Clip
from voxray.training.cuts import HEARD_S, cut, random_cut, words_inside
from voxray.transcript import Word


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    """Clips of 1 to 6 s whose samples count up, with up to eight words in order."""
    samples = draw(st.integers(SAMPLE_RATE, 6 * SAMPLE_RATE))
    duration_s = samples / SAMPLE_RATE
    times = sorted(draw(st.lists(st.floats(0, duration_s), min_size=2, max_size=9)))
    words = tuple(Word(f"w{i}", a, b) for i, (a, b) in enumerate(pairwise(times)))
    pcm = (np.arange(samples) % 32_000).astype(np.int16)
    return Clip("c", pcm, " ".join(w.text for w in words), "anna", "de", words)


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
    assert (made.speaker, made.language, made.id) == ("anna", "de", "c")


WORDS = (Word("a", 0.2, 0.5), Word("b", 0.6, 0.9), Word("c", 1.0, 1.4))
CLIP = Clip("c", np.arange(24_000, dtype=np.int16), "a b c", words=WORDS)


def test_half_a_word_is_no_word_and_times_start_at_the_cut() -> None:
    made = cut(CLIP, 0.55, 1.2)
    assert made.text == "b"
    assert [round(t, 6) for w in made.words for t in (w.start_s, w.end_s)] == [0.05, 0.35]
    assert np.array_equal(made.pcm, CLIP.pcm[8800:19200])


def test_characters_of_a_script_without_spaces_are_joined_without_them() -> None:
    words = tuple(Word(c, 0.2 * i, 0.2 * i + 0.2) for i, c in enumerate("今天天气"))
    clip = Clip("c", np.zeros(16_000, dtype=np.int16), "今天天气", language="zh", words=words)
    assert cut(clip, 0.0, 0.65).text == "今天天"


def test_a_word_that_lacks_its_last_30_ms_counts_as_heard() -> None:
    assert [w.text for w in words_inside(WORDS, 0.2 + HEARD_S, 0.9 - HEARD_S)] == ["a", "b"]
    assert [w.text for w in words_inside(WORDS, 0.2 + 0.04, 0.9 - 0.04)] == []
    [_, last] = cut(CLIP, 0.0, 0.88).words
    assert last.end_s == 0.88


def test_nothing_heard_is_no_text() -> None:
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
