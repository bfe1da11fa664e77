from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from tests.small_model.synthesis.corpus import (
    held_out_voices,
    levelled,
    orders,
    reserved_texts,
    score_orders,
    synthesise,
    until,
    write_corpus,
)
from tests.small_model.synthesis.grammar import PLAIN_SHARES
from tests.small_model.synthesis.voices import HELD_OUT, Voice

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import Clip
from voxray.errors import MissingDependency

ESPEAK = (Voice("espeak-ng", "en-us+m3"), Voice("espeak-ng", "en+f4"))


@pytest.fixture(scope="module")
def spoken() -> list[Clip]:
    try:
        return list(synthesise(20, "test", ESPEAK))
    except MissingDependency as e:
        pytest.skip(str(e))


def test_orders_follow_from_the_seed_alone() -> None:
    assert list(islice(orders(3), 50)) == list(islice(orders(3), 50))
    assert list(islice(orders(3), 50)) != list(islice(orders(4), 50))


def test_order_texts_avoid_those_given() -> None:
    first = {order.text for order in islice(orders(3), 30)}
    assert not first & {order.text for order in islice(orders(3, avoid=first), 30)}


def test_plain_orders_have_the_voices_asked_for() -> None:
    asked = islice(orders(3, ESPEAK, shares=PLAIN_SHARES), 30)
    assert {order.voice for order in asked} == set(ESPEAK)


def test_training_shards_have_no_reserved_text() -> None:
    reserved = reserved_texts()
    assert len(reserved) > 800
    assert {order.text for order in score_orders()} <= reserved
    train = {order.text for order in islice(orders("1-0", avoid=reserved), 2000)}
    assert not train & reserved


def test_held_out_voices_group_the_accents_of_a_speaker() -> None:
    groups = held_out_voices()
    assert set(groups) == {"andrea", "m7", "nguyen", "travis", "rms"}
    assert {voice for group in groups.values() for voice in group} == set(HELD_OUT)


def test_clips_say_what_was_ordered(spoken: list[Clip]) -> None:
    ordered = list(islice(orders("test", ESPEAK), 20))
    assert [(c.id, c.text, c.speaker) for c in spoken] == [(o.id, o.text, o.voice.id) for o in ordered]
    assert len({c.id for c in spoken}) == 20


def test_clip_words_lie_inside_the_clip(spoken: list[Clip]) -> None:
    for clip in spoken:
        assert len(clip.words) == len(clip.text.split())
        assert clip.words[0].start_s >= 0
        assert clip.words[-1].end_s <= clip.duration_s


def test_level_is_the_one_asked_for() -> None:
    pcm = (3000 * np.sin(np.arange(SAMPLE_RATE))).astype(np.int16)
    rms = np.sqrt(np.square(levelled(pcm, -20.0) / 32768.0).mean())
    assert 20 * np.log10(rms) == pytest.approx(-20.0, abs=0.1)


def test_level_is_lower_where_peaks_would_clip() -> None:
    pcm = np.zeros(SAMPLE_RATE, np.int16)
    pcm[100] = 20_000
    assert np.abs(levelled(pcm, -20.0)).max() < 32_200


def seconds(count: int) -> Iterator[Clip]:
    return (Clip(id=str(i), pcm=np.zeros(SAMPLE_RATE, np.int16), text="") for i in range(count))


def test_until_stops_once_the_length_is_reached() -> None:
    assert len(list(until(seconds(10), 3.5))) == 4


def test_write_corpus_goes_on_where_it_stopped(tmp_path: Path) -> None:
    try:
        write_corpus(tmp_path, hours=0.002, seed="small", shards=1)
        first = (tmp_path / "shard-0000" / "audio.s16").stat().st_mtime_ns
        store = write_corpus(tmp_path, hours=0.004, seed="small", shards=2)
    except MissingDependency as e:
        pytest.skip(str(e))
    assert (tmp_path / "shard-0000" / "audio.s16").stat().st_mtime_ns == first
    assert sum(clip.duration_s for clip in store) >= 0.004 * 3600
