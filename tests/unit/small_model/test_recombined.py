import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model.recombined import recombined, spoken_words

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import Clip

LEVELS = {"one": 4000, "two": 8000, "three": 16000}


def clip(text: str, speaker: str = "anna", language: str = "en", pause_s: float = 0.1) -> Clip:
    """Each word as 0.2 s at a level of its own, after a pause."""
    pause = np.zeros(int(pause_s * SAMPLE_RATE), np.int16)
    pieces = [p for w in text.split() for p in (pause, np.full(3200, LEVELS[w], np.int16))]
    return Clip(f"{speaker}-{text}", np.concatenate([*pieces, pause]), text, speaker, language)


def test_words_are_the_stretches_of_sound() -> None:
    found = spoken_words(clip("one two three"))
    assert [text for text, _ in found] == ["one", "two", "three"]
    for text, pcm in found:
        assert len(pcm) == 3200
        assert set(pcm.tolist()) == {LEVELS[text]}


def test_a_clip_with_more_or_fewer_stretches_than_words_gives_none() -> None:
    assert spoken_words(Clip("c", clip("one two").pcm, "one two three")) == []
    assert spoken_words(Clip("c", clip("one two").pcm, "one")) == []
    assert spoken_words(Clip("c", np.zeros(16_000, np.int16), "one")) == []
    assert spoken_words(Clip("c", np.zeros(10, np.int16), "one")) == []


@pytest.mark.parametrize(("pause_s", "stretches"), [(0.02, 1), (0.03, 2)])
def test_a_pause_shorter_than_30_ms_belongs_to_the_sound(pause_s: float, stretches: int) -> None:
    text = "one two" if stretches == 2 else "one"
    pcm = clip("one two", pause_s=pause_s).pcm
    assert len(spoken_words(Clip("c", pcm, text))) == stretches


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 99))
def test_new_clips_say_words_of_one_voice_at_their_times(count: int, longest: int, seed: int) -> None:
    voices = {"anna": ("en", {"one", "two"}), "carl": ("de", {"three"})}
    clips = [clip("one two"), clip("three", "carl", "de"), clip("two")]
    made = list(recombined(clips, count, longest, seed))

    assert len(made) == len({c.id for c in made}) == count
    for new in made:
        language, vocabulary = voices[new.speaker]
        assert new.language == language
        assert 1 <= len(new.words) <= longest
        assert new.text == " ".join(w.text for w in new.words)
        assert {w.text for w in new.words} <= vocabulary
        for w in new.words:
            stretch = new.pcm[round(w.start_s * SAMPLE_RATE) : round(w.end_s * SAMPLE_RATE)]
            assert set(stretch.tolist()) == {LEVELS[w.text]}


def test_pauses_are_faint_and_of_20_to_350_ms() -> None:
    for new in recombined([clip("one")], 40, 3, seed=1):
        edges = [0.0, *(t for w in new.words for t in (w.start_s, w.end_s)), new.duration_s]
        pauses = [b - a for a, b in zip(edges[::2], edges[1::2], strict=True)]
        assert all(0.0199 <= p <= 0.35 for p in pauses)
        assert 0 < np.abs(new.pcm[: int(edges[1] * SAMPLE_RATE)]).max() < 60


def test_one_speakers_two_languages_are_two_voices() -> None:
    clips = [clip("one", "anna", "en"), clip("two", "anna", "de")]
    assert {(c.language, c.text) for c in recombined(clips, 20, 1, seed=0)} == {("en", "one"), ("de", "two")}


def test_the_same_seed_makes_the_same_clips() -> None:
    first, again, other = ([c.text for c in recombined([clip("one two three")], 9, 5, s)] for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_clips_that_cannot_be_taken_apart_make_none() -> None:
    assert list(recombined([Clip("c", np.zeros(16_000, np.int16), "one")], 5, 3, seed=0)) == []
