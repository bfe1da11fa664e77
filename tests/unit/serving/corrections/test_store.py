import os
import time
from pathlib import Path

import numpy as np
import pytest

from voxray.audio import SAMPLE_RATE
from voxray.corpora.sources import load_clips
from voxray.serving.corrections.store import CorrectionStore
from voxray.serving.settings import CorrectionSettings
from voxray.streaming.events import Final
from voxray.transcript import Word

TONE = (8000 * np.sin(np.arange(SAMPLE_RATE) / 8)).astype(np.int16)
OWNER = "ab12"


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    store = CorrectionStore(CorrectionSettings(dir=tmp_path, days=2.0, clips=2))
    store.enable(OWNER, enabled=True)
    return store


def add(store: CorrectionStore, text: str, *probabilities: float | None, owner: str = OWNER) -> None:
    words = tuple(Word("a", 0.0, 1.0, probability) for probability in probabilities)
    store.add(owner, Final(0, 0.0, 1.0, text, "en", words), TONE, time.time())


def texts(store: CorrectionStore) -> list[str]:
    return [kept.text for kept in store.pending(OWNER, 9)]


def test_the_least_certain_comes_first_by_its_least_certain_word(store: CorrectionStore) -> None:
    add(store, "certain", 0.99, 0.98)
    add(store, "doubtful", 0.99, 0.2)
    add(store, "unknown", None)

    assert texts(store) == ["unknown", "doubtful", "certain"]
    assert [kept.certainty for kept in store.pending(OWNER, 9)] == [None, 0.2, 0.98]


def test_nothing_is_kept_of_a_key_that_does_not_want_it(store: CorrectionStore, tmp_path: Path) -> None:
    add(store, "another's", 0.5, owner="cd34")
    store.enable(OWNER, enabled=False)
    add(store, "too late", 0.5)

    assert texts(store) == []
    assert not (tmp_path / "cd34").exists()


def test_what_is_accepted_is_a_corpus_that_the_jobs_read(store: CorrectionStore) -> None:
    add(store, "turn of the light", 0.5)
    add(store, "turn on the radio", 0.9)
    first, second = store.pending(OWNER, 9)

    assert store.accept(OWNER, first.id, "turn off the light")
    assert store.accept(OWNER, second.id, second.text)

    clips, rejected = load_clips(str(store.corpus(OWNER)))
    assert [clip.text for clip in clips] == ["turn off the light", "turn on the radio"]
    assert all(np.array_equal(clip.pcm, TONE) for clip in clips)
    assert not rejected
    assert store.counts(OWNER) == (0, 2)
    assert not store.accept(OWNER, first.id, "again")


@pytest.mark.parametrize("id", ["", "..", "../corpus/000", "000-" + "g" * 32])
def test_only_ids_are_looked_for(id: str, store: CorrectionStore) -> None:
    assert store.audio(OWNER, id) is None
    assert not store.remove(OWNER, id)


def test_what_is_too_old_is_deleted_accepted_or_not(store: CorrectionStore, tmp_path: Path) -> None:
    for text in ("old", "accepted", "young"):
        add(store, text, 0.5)
    by_text = {kept.text: kept for kept in store.pending(OWNER, 9)}
    for text in ("old", "accepted"):
        audio = store.audio(OWNER, by_text[text].id)
        assert audio
        os.utime(audio, (time.time() - 3 * 24 * 3600,) * 2)
    store.accept(OWNER, by_text["accepted"].id, "accepted")

    store.sweep()

    assert texts(store) == ["young"]
    kept = {file.stem for file in tmp_path.rglob("*.*") if file.is_file()}
    assert kept == {by_text["young"].id}


def test_the_most_certain_make_room(store: CorrectionStore) -> None:
    for number in range(4):
        add(store, f"{number}", number / 10)

    store.sweep()

    assert texts(store) == ["0", "1"]


def test_all_of_a_key_is_deleted(store: CorrectionStore, tmp_path: Path) -> None:
    add(store, "a", 0.5)

    store.clear(OWNER)

    assert not list(tmp_path.iterdir())
    assert not store.is_enabled(OWNER)
