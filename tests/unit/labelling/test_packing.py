"""Packing: each clip once, in order, with its own kind, never too long, times moved with it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.audio import SAMPLE_RATE, WINDOW_SAMPLES
from voxray.corpora.store import Clip
from voxray.labelling.packing import PackingOptions, Utterance, pack
from voxray.transcript import Segment, Word


def utterance(name: str, samples: int, speaker: str = "anna", language: str = "en") -> Utterance:
    word = Word(name, 0.0, samples / SAMPLE_RATE)
    pcm = np.full(samples, 7, np.int16)
    segment = Segment(0.0, samples / SAMPLE_RATE, name, (word,))
    return Utterance(Clip(name, pcm, name, speaker, language, (word,)), (segment,))


kinds = st.tuples(st.integers(1, 50), st.sampled_from(["", "anna", "bert"]), st.sampled_from(["en", "ja"]))


@given(st.lists(kinds, max_size=30), st.integers(0, 8), st.integers(20, 60))
def test_each_clip_is_in_one_pack_of_its_kind_in_order_and_no_pack_is_too_long(
    clips: list[tuple[int, str, str]], gap: int, limit: int
) -> None:
    given_ = [utterance(f"<{k}>", n, who, lang) for k, (n, who, lang) in enumerate(clips)]
    options = PackingOptions(gap_s=gap / SAMPLE_RATE, max_samples=limit)
    packs = list(pack(iter(given_), options))
    placed = [w.text for p in packs for w in p.clip.words]
    assert sorted(placed) == sorted(u.clip.id for u in given_)
    origin = {u.clip.id: u.clip for u in given_}
    for p in packs:
        names = [w.text for w in p.clip.words]
        assert {(origin[n].speaker, origin[n].language) for n in names} == {(p.clip.speaker, p.clip.language)}
        assert names == sorted(names, key=lambda n: int(n[1:-1]))
        assert len(p.clip.pcm) <= limit or len(names) == 1
        assert len(p.clip.pcm) == sum(len(origin[n].pcm) for n in names) + gap * (len(names) - 1)


@given(st.lists(kinds, min_size=1, max_size=12), st.integers(0, 8))
def test_times_point_at_the_sound_that_they_name(clips: list[tuple[int, str, str]], gap: int) -> None:
    given_ = [utterance(f"<{k}>", n, who, lang) for k, (n, who, lang) in enumerate(clips)]
    for p in pack(given_, PackingOptions(gap_s=gap / SAMPLE_RATE, max_samples=100)):
        sounding = np.zeros(len(p.clip.pcm), bool)
        for segment in p.segments:
            sounding[round(segment.start_s * SAMPLE_RATE) : round(segment.end_s * SAMPLE_RATE)] = True
            assert [(w.start_s, w.end_s) for w in segment.words] == [(segment.start_s, segment.end_s)]
        np.testing.assert_array_equal(sounding, p.clip.pcm != 0)
        assert [w.start_s for w in p.clip.words] == [s.start_s for s in p.segments]


def test_exactly_thirty_seconds_with_the_gap_fit_and_one_sample_more_does_not() -> None:
    gap = round(0.2 * SAMPLE_RATE)
    fitting = [utterance("a", 240_000), utterance("b", 240_000 - gap)]
    assert [len(p.clip.pcm) for p in pack(fitting, PackingOptions())] == [WINDOW_SAMPLES]
    over = [utterance("a", 240_000), utterance("b", 240_001 - gap)]
    assert len(list(pack(over, PackingOptions()))) == 2


@pytest.mark.parametrize(("language", "joined"), [("en", "a b"), ("ja", "ab")])
def test_texts_are_joined_as_the_language_is_written(language: str, joined: str) -> None:
    (packed,) = pack([utterance("a", 9, "", language), utterance("b", 9, "", language)], PackingOptions())
    assert (packed.clip.text, packed.clip.id) == (joined, "a")


def test_words_are_dropped_where_those_of_one_clip_are_not_known() -> None:
    unknown = Utterance(Clip("b", np.ones(9, np.int16), "b", "anna"))
    silent = Utterance(Clip("c", np.zeros(9, np.int16), "", "anna"))
    assert next(pack([utterance("a", 9), unknown], PackingOptions())).clip.words == ()
    assert [w.text for w in next(pack([utterance("a", 9), silent], PackingOptions())).clip.words] == ["a"]
