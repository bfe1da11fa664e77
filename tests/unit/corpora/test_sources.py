"""Corpora by name: folders and csv files, splits, texts, and everything that can be wrong with them."""

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pytest

from voxray.audio import SAMPLE_RATE, Pcm, encode, to_pcm
from voxray.corpora.sources import list_corpus, load_clips
from voxray.corpora.splits import split_of
from voxray.errors import CorpusError

DIGITS = Path(os.environ.get("VOXRAY_DIGITS", Path(__file__).parents[4] / "shared/data/digits"))


def tone(seconds: float = 0.5) -> Pcm:
    return to_pcm(0.1 * np.sin(np.arange(round(seconds * SAMPLE_RATE)) * 0.2))


def clip(folder: Path, uid: str, text: str | None = "one two", seconds: float = 0.5) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{uid}.flac").write_bytes(encode(tone(seconds)))
    if text is not None:
        (folder / f"{uid}.txt").write_text(text, encoding="utf-8")


def reasons(folder: Path, need_text: bool = False) -> dict[str, str]:
    return {r.id: r.reason for r in list_corpus(str(folder), need_text=need_text).rejected}


def test_a_folder_without_csv_is_split_by_the_hash_of_each_uid(tmp_path: Path) -> None:
    for uid in ("a", "b"):
        clip(tmp_path, uid)
    before = {i.id: i.split for i in list_corpus(str(tmp_path)).items}
    clip(tmp_path, "c", None)
    after = {i.id: (i.split, i.text) for i in list_corpus(str(tmp_path)).items}
    assert before == {uid: split_of(uid) for uid in ("a", "b")}
    assert after == {uid: (split_of(uid), "one two" if uid != "c" else None) for uid in ("a", "b", "c")}


def test_csv_files_give_splits_texts_and_speakers(tmp_path: Path) -> None:
    clip(tmp_path, "a")
    clip(tmp_path / "sub", "b", "from its txt")
    (tmp_path / "train_files.csv").write_text("uid,file_name,text,speaker\n1,a.flac,one,anna\n")
    (tmp_path / "test_files.csv").write_bytes("\ufeffuid,file_name\n2,sub/b.flac\n".encode())
    items = {i.id: (i.split, i.text, i.speaker) for i in list_corpus(str(tmp_path)).items}
    assert items == {"1": ("train", "one", "anna"), "2": ("test", "from its txt", "")}


def test_load_clips_decodes_in_the_order_of_the_listing(tmp_path: Path) -> None:
    for k in range(12):
        clip(tmp_path, f"{k:02d}", f"text {k}", seconds=0.1 + k / 100)
    clips, rejected = load_clips(str(tmp_path), language="de")
    assert [(c.id, c.text, c.language) for c in clips] == [(f"{k:02d}", f"text {k}", "de") for k in range(12)]
    assert [len(c.pcm) for c in clips] == [len(tone(0.1 + k / 100)) for k in range(12)]
    assert rejected == []


def test_a_folder_under_a_url_reads_like_a_local_one(memory_corpus: str) -> None:
    clips, rejected = load_clips(memory_corpus)
    assert [(c.id, c.text) for c in clips] == [("a", "one two")]
    assert rejected == []


def test_several_corpora_are_one_with_their_names_before_the_ids(tmp_path: Path) -> None:
    for folder in ("calls", "studio", "old/calls", "c++"):
        for uid in ("a", "b"):
            clip(tmp_path / folder, uid, f"{uid} of {folder}")
    calls, studio, old = (str(tmp_path / name) for name in ("calls", "studio", "old/calls"))
    listing = list_corpus(f"{calls}+{studio}")
    assert [i.id for i in listing.items] == ["calls/a", "calls/b", "studio/a", "studio/b"]
    assert [i.recording for i in listing.items] == [i.id for i in listing.items]
    assert {i.split for i in listing.items} == {i.split for i in list_corpus(calls).items}
    assert [c.text for c in load_clips(f"{calls}+{studio}")[0]][2] == "a of studio"
    assert [i.id for i in list_corpus(f"{calls}+{old}").items][1:3] == ["calls-1/b", "calls-2/a"]
    assert [i.id for i in list_corpus(str(tmp_path / "c++")).items] == ["a", "b"]
    with pytest.raises(CorpusError, match="nowhere"):
        list_corpus(f"{calls}+nowhere")


@pytest.fixture
def memory_corpus() -> Iterator[str]:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/voxray-test/a.flac", encode(tone()))
    filesystem.pipe("/voxray-test/a.txt", b"one two")
    yield "memory://voxray-test"
    filesystem.rm("/voxray-test", recursive=True)


@pytest.mark.parametrize("corpus", ["missing", "missing.jsonl", "unknown-scheme://bucket/x"])
def test_a_corpus_that_is_not_there_is_named(tmp_path: Path, corpus: str) -> None:
    place = corpus if "://" in corpus else str(tmp_path / corpus)
    with pytest.raises(CorpusError, match=corpus):
        list_corpus(place)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"expected audio files .* got none"):
        list_corpus(str(tmp_path))


def test_a_folder_of_corpora_asks_for_one_of_them(tmp_path: Path) -> None:
    clip(tmp_path / "anna", "a")
    (tmp_path / "anna" / "train_files.csv").write_text("uid,file_name,text\na,a.flac,one\n")
    with pytest.raises(CorpusError, match=r"got several in subfolders .*anna"):
        list_corpus(str(tmp_path))


def test_a_split_that_has_no_clips_gives_which_have(tmp_path: Path) -> None:
    clip(tmp_path, "a")
    (tmp_path / "train_files.csv").write_text("uid,file_name,text\na,a.flac,one\n")
    with pytest.raises(CorpusError, match="expected clips in 'dev', got train 1"):
        list_corpus(str(tmp_path), "dev")
    with pytest.raises(CorpusError, match="got 'val'"):
        list_corpus(str(tmp_path), "val")


def test_a_csv_of_an_unknown_split_or_without_its_columns_is_named(tmp_path: Path) -> None:
    clip(tmp_path, "a")
    table = tmp_path / "valid_files.csv"
    table.write_text("uid,file_name,text\n")
    with pytest.raises(CorpusError, match="got 'valid'"):
        list_corpus(str(tmp_path))
    table.rename(tmp_path / "dev_files.csv").write_text("uid,path\n")
    with pytest.raises(CorpusError, match="columns uid,file_name,text, got none called 'file_name'"):
        list_corpus(str(tmp_path))


def test_csv_rows_that_name_nothing_or_something_outside_are_rejected(tmp_path: Path) -> None:
    clip(tmp_path, "outside")
    corpus = tmp_path / "corpus"
    clip(corpus, "a")
    rows = ["a,a.flac,one", "b,b.flac,two", "c,../outside.flac,three", ",,", "a,a.flac,again"]
    (corpus / "train_files.csv").write_text("\n".join(["uid,file_name,text", *rows]) + "\n")
    listing = list_corpus(str(corpus))
    assert [i.id for i in listing.items] == ["a"]
    assert [(r.id, r.split) for r in listing.rejected] == [
        ("b", "train"),
        ("c", "train"),
        ("line 5", "train"),
        ("a", "train"),
    ]
    assert "line 3 names b.flac, but there is no such file" in listing.rejected[0].reason
    assert "one clip per uid" in listing.rejected[3].reason


def test_what_is_wrong_in_a_folder_is_listed_and_the_rest_is_used(tmp_path: Path) -> None:
    clip(tmp_path, "good")
    clip(tmp_path, "silent", None)
    clip(tmp_path, "blank", "  ")
    (tmp_path / "good.wav").write_bytes(b"")
    (tmp_path / "text-only.txt").write_text("no audio")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\nhttp://192.0.2.1/x.mp3\n")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / ".hidden.wav").write_bytes(b"")
    found = reasons(tmp_path, need_text=True)
    assert set(found) == {"silent", "blank", "good", "text-only", "list.m3u8"}
    assert "expected a reference text for this clip, got none" in found["silent"]
    assert "got an empty one" in found["blank"]
    assert "expected audio beside this text" in found["text-only"]
    assert "got .m3u8, which is none of its formats" in found["list.m3u8"]
    assert set(reasons(tmp_path)) == {"good", "text-only", "list.m3u8"}


def test_audio_that_cannot_be_decoded_is_listed_with_its_file_and_reason(tmp_path: Path) -> None:
    clip(tmp_path, "good")
    whole = encode(tone(2.0))
    bad = {
        "zero.wav": b"",
        "wrong.mp3": b"this is no audio at all",
        "cut.flac": whole[:60],
        "playlist.mp3": b"#EXTM3U\n#EXTINF:1,\nhttp://192.0.2.1/x.mp3\n",
        "other.wav": f"#EXTM3U\n{tmp_path}/good.flac\n".encode(),
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    clips, rejected = load_clips(str(tmp_path), need_text=False)
    assert [c.id for c in clips] == ["good"]
    assert {Path(r.source).name for r in rejected} == set(bad)
    assert all(r.source in r.reason and "expected audio" in r.reason for r in rejected)


def test_a_corpus_of_which_nothing_can_be_used_names_the_reason(tmp_path: Path) -> None:
    clip(tmp_path, "a", None)
    with pytest.raises(CorpusError, match=r"got none that can be used: .*a\.flac: expected a reference text"):
        load_clips(str(tmp_path))
    (tmp_path / "a.flac").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"got none that can be used: .*got an empty file"):
        load_clips(str(tmp_path), need_text=False)


def test_clips_longer_than_asked_for_are_listed(tmp_path: Path) -> None:
    clip(tmp_path, "long", seconds=1.0)
    clip(tmp_path, "short", seconds=0.5)
    clips, rejected = load_clips(str(tmp_path), max_s=0.5)
    assert ([c.id for c in clips], [r.id for r in rejected]) == (["short"], ["long"])
    assert "at most 0.5 s, got 1.00 s" in rejected[0].reason


@pytest.mark.skipif(not DIGITS.is_dir(), reason=f"needs the recorded digits at {DIGITS}")
def test_recorded_digits_load_by_split() -> None:
    clips, rejected = load_clips(str(DIGITS / "george"), "dev")
    assert (len(clips), rejected, clips[0].text) == (40, [], "nine five five")


def test_the_sample_clips_are_split_and_whole() -> None:
    listed = {s: list_corpus("builtin", s, need_text=True).items for s in ("train", "dev", "test")}

    assert {split: len(items) for split, items in listed.items()} == {"train": 320, "dev": 40, "test": 40}
    assert len({i.text for items in listed.values() for i in items}) == 400
