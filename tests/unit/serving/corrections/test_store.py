import errno
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
OWNER, OTHER = "ab12", "cd34"
DAY_S = 24 * 3600.0


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    store = CorrectionStore(CorrectionSettings(dir=tmp_path, days=2.0))
    store.enable(OWNER, enabled=True)
    return store


def add(store: CorrectionStore, text: str, *probabilities: float | None, owner: str = OWNER) -> None:
    words = tuple(Word("a", 0.0, 1.0, probability) for probability in probabilities)
    store.add(owner, Final(0, 0.0, 1.0, text, "en", words), TONE, time.time())


def texts(store: CorrectionStore) -> list[str]:
    return [clip.text for clip in store.pending(OWNER, 9)]


def ids_on_disk(directory: Path) -> set[str]:
    return {file.name.partition(".")[0] for file in directory.rglob("*-*.*")}


def test_the_least_confident_comes_first_by_its_least_probable_word(store: CorrectionStore) -> None:
    add(store, "sure", 0.99, 0.98)
    add(store, "doubtful", 0.99, 0.2)
    add(store, "unknown", None)

    assert texts(store) == ["unknown", "doubtful", "sure"]
    assert [clip.confidence for clip in store.pending(OWNER, 9)] == [None, 0.2, 0.98]


def test_nothing_is_stored_of_a_key_that_did_not_opt_in(store: CorrectionStore, tmp_path: Path) -> None:
    add(store, "another's", 0.5, owner=OTHER)
    store.enable(OWNER, enabled=False)
    add(store, "too late", 0.5)

    assert texts(store) == []
    assert not (tmp_path / OTHER).exists()
    assert store.enabled_owners() == set()


def test_only_this_user_may_read_what_was_recorded(store: CorrectionStore, tmp_path: Path) -> None:
    assert (tmp_path / OWNER).stat().st_mode & 0o077 == 0


def test_what_is_corrected_is_a_corpus_that_the_jobs_read(store: CorrectionStore) -> None:
    add(store, "turn of the light", 0.5)
    add(store, "turn on the radio", 0.9)
    first, second = store.pending(OWNER, 9)

    assert store.correct(OWNER, first.id, "turn off the light")
    assert store.correct(OWNER, second.id, second.text)

    clips, rejected = load_clips(str(store.corpus(OWNER)))
    assert [clip.text for clip in clips] == ["turn off the light", "turn on the radio"]
    assert all(np.array_equal(clip.pcm, TONE) for clip in clips)
    assert not rejected
    assert store.counts(OWNER) == (0, 2)
    assert not store.correct(OWNER, first.id, "again")


@pytest.mark.parametrize("id", ["", "..", "../corpus/000", "000-" + "g" * 32])
def test_only_ids_are_looked_for(id: str, store: CorrectionStore) -> None:
    assert store.audio(OWNER, id) is None
    assert not store.correct(OWNER, id, "x")
    assert not store.delete(OWNER, id)


def test_a_deleted_clip_is_gone_corrected_or_not(store: CorrectionStore, tmp_path: Path) -> None:
    add(store, "pending", 0.1)
    add(store, "corrected", 0.2)
    pending, corrected = store.pending(OWNER, 9)
    store.correct(OWNER, corrected.id, "corrected")

    assert store.delete(OWNER, pending.id)
    assert store.delete(OWNER, corrected.id)

    assert not ids_on_disk(tmp_path)
    assert not store.delete(OWNER, pending.id)


def test_a_full_disk_leaves_no_half_of_a_clip(
    store: CorrectionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_text(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_text)  # the second of the two files

    with pytest.raises(OSError, match="No space left"):
        add(store, "lost", 0.5)
    assert not ids_on_disk(tmp_path)


def test_what_is_too_old_is_deleted_corrected_or_not(store: CorrectionStore, tmp_path: Path) -> None:
    add(store, "old", 0.5)
    add(store, "corrected", 0.6)
    store.correct(OWNER, store.pending(OWNER, 9)[1].id, "corrected")

    store.sweep(time.time() + 1.9 * DAY_S)
    assert store.counts(OWNER) == (1, 1)
    store.sweep(time.time() + 2.1 * DAY_S)

    assert not ids_on_disk(tmp_path)
    assert store.is_enabled(OWNER)


@pytest.mark.parametrize("suffix", [".flac", ".json", ".flac.7.part", ".json.7.part", ".txt"])
def test_what_a_killed_process_left_is_neither_shown_nor_kept(
    suffix: str, store: CorrectionStore, tmp_path: Path
) -> None:
    add(store, "whole", 0.5)
    half = f"500-{'0' * 32}"
    (tmp_path / OWNER / ("corpus" if suffix == ".txt" else "pending") / f"{half}{suffix}").touch()

    assert store.audio(OWNER, half) is None
    store.sweep()
    assert half in ids_on_disk(tmp_path)  # it may still be written
    store.sweep(time.time() + 100)

    assert half not in ids_on_disk(tmp_path)
    assert texts(store) == ["whole"]


def test_what_was_killed_while_it_was_corrected_is_corrected_again(
    store: CorrectionStore, tmp_path: Path
) -> None:
    add(store, "a", 0.5)
    id = store.pending(OWNER, 9)[0].id
    part = store.corpus(OWNER) / f"{id}.txt.7.part"
    part.touch()

    store.correct(OWNER, id, "b")
    store.sweep(time.time() + 100)

    assert store.counts(OWNER) == (0, 1)
    assert not part.exists()


def test_the_most_confident_clips_make_room(tmp_path: Path) -> None:
    store = CorrectionStore(CorrectionSettings(dir=tmp_path, stored_bytes=1))
    store.enable(OWNER, enabled=True)
    for number in range(4):
        add(store, f"{number}", number / 10)
    store.correct(OWNER, store.pending(OWNER, 9)[3].id, "3")  # is never deleted for room
    store.settings = CorrectionSettings(dir=tmp_path, stored_bytes=store.stored_bytes(OWNER) * 3 // 4)

    store.sweep()

    assert texts(store) == ["0", "1"]
    assert store.counts(OWNER) == (2, 1)


def test_all_of_a_key_is_deleted_and_nothing_more_is_recorded(store: CorrectionStore, tmp_path: Path) -> None:
    add(store, "a", 0.5)
    store.enable(OTHER, enabled=True)

    store.clear(OWNER)
    add(store, "b", 0.5)

    assert [folder.name for folder in tmp_path.iterdir()] == [OTHER]
    store.clear(OWNER)  # twice is as good


def test_what_a_killed_process_left_of_deleting_is_deleted(store: CorrectionStore, tmp_path: Path) -> None:
    add(store, "a", 0.5)
    (tmp_path / OWNER).rename(tmp_path / ".deleted-00")
    assert not store.enabled_owners()

    store.sweep()

    assert not list(tmp_path.iterdir())
