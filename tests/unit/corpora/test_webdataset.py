"""WebDataset tars: keys, texts, tars that are cut short, and names that climb out."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pytest

from voxray.audio import encode
from voxray.corpora.columns import Columns
from voxray.corpora.sources import list_corpus, load_clips
from voxray.errors import CorpusError


def flac(samples: int) -> bytes:
    return encode(np.ones(samples, np.int16))


def as_json(**values: Any) -> bytes:
    return json.dumps(values).encode()


def write_tar(file: Path, members: dict[str, bytes]) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(file)


def test_members_of_one_key_are_a_clip(tmp_path: Path) -> None:
    members = {
        "./a.flac": flac(160),
        "./a.txt": b"one two\n",
        "b.json": as_json(text="drei", language="de", speaker=3, audio="ignored", duration="ignored"),
        "b.flac": flac(161),
        "b.cls": b"7",
        "sub/c.FLAC": flac(162),
        "README.md": b"about",
        "._a.flac": b"of macOS",
    }
    clips, rejected = load_clips(write_tar(tmp_path / "t.tar", members), need_text=False)

    assert [(c.id, c.text, c.language, c.speaker, len(c.pcm)) for c in clips] == [
        ("a", "one two", "en", "", 160),
        ("b", "drei", "de", "3", 161),
        ("sub/c", "", "en", "", 162),
    ]
    assert rejected == []
    assert list_corpus(str(tmp_path)).items[2].text is None


def test_a_folder_of_tars_has_splits_and_one_id_per_clip(tmp_path: Path) -> None:
    for name in ("train-000000", "train-000001", "valid/000000"):
        write_tar(tmp_path / f"{name}.tar", {"0.flac": flac(160), "0.json": as_json(key=name, sentence=name)})

    assert {i.id: i.split for i in list_corpus(str(tmp_path)).items} == {
        "train-000000/0": "train",
        "train-000001/0": "train",
        "valid/000000/0": "dev",
    }
    named = list_corpus(str(tmp_path), columns=Columns(id_column="key", text_column="sentence"))
    assert [i.id for i in named.items] == [i.text for i in named.items]
    assert [i.id for i in named.items] == ["train-000000", "train-000001", "valid/000000"]


def test_clips_that_are_wrong_are_listed_and_the_rest_is_used(tmp_path: Path) -> None:
    members = {
        "good.flac": flac(160),
        "two.flac": flac(160),
        "two.wav": b"",
        "text.txt": b"no audio",
        "latin.flac": flac(160),
        "latin.txt": b"\xff",
        "list.flac": flac(160),
        "list.json": b"[]",
        "bad.flac": b"no audio",
    }
    clips, rejected = load_clips(write_tar(tmp_path / "t.tar", members), need_text=False)
    reasons = {r.id: r.reason for r in rejected}

    assert [c.id for c in clips] == ["good"]
    assert list(reasons) == ["t/two", "t/text", "t/latin", "t/list", "bad"]
    assert "key 'two': expected one member of audio, got two.flac, two.wav" in reasons["t/two"]
    assert "key 'text': expected one member of audio, got none" in reasons["t/text"]
    assert "expected texts in UTF-8" in reasons["t/latin"]
    assert "expected an object in its .json, got list" in reasons["t/list"]
    assert "t.tar#bad.flac: expected audio" in reasons["bad"]
    one = list_corpus(str(tmp_path / "t.tar"), columns=Columns(audio_column="flac"))
    assert "two" in [i.id for i in one.items]


@pytest.mark.parametrize("cut_at", [0, 100, 600, 1024, 1100, 1536, 2048, 2100, 3000, 3072, 3500, 4096, 4200])
def test_of_a_tar_that_is_cut_short_the_whole_clips_are_used(tmp_path: Path, cut_at: int) -> None:
    members = {"a.flac": b"audio", "a.txt": b"one", "b.flac": b"audio", "b.txt": b"two"}  # 1024 bytes each
    whole = Path(write_tar(tmp_path / "whole.tar", members)).read_bytes()
    (tmp_path / "whole.tar").unlink()
    (tmp_path / "cut.tar").write_bytes(whole[:cut_at])
    write_tar(tmp_path / "good.tar", {"c.flac": b"audio"})
    listing = list_corpus(str(tmp_path))

    assert [(i.id, i.text) for i in listing.items] == [("a", "one"), ("c", None)][cut_at < 2560 :]  # b begins
    assert [r.id for r in listing.rejected] == ["cut.tar"]
    assert "cut.tar: expected a" in listing.rejected[0].reason


def test_names_that_climb_out_and_links_write_and_read_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "secret.flac").write_bytes(flac(160))
    corpus = tmp_path / "in" / "t.tar"
    write_tar(corpus, {"../../out.flac": flac(160), "/abs.flac": flac(160)})
    with tarfile.open(corpus, "a") as tar:
        link = tarfile.TarInfo("link.flac")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.flac")
        tar.addfile(link)
    clips, _ = load_clips(str(corpus), need_text=False)

    assert [c.id for c in clips] == ["../../out", "abs"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in", "secret.flac", "t.tar"]


def test_tars_under_a_url_read_like_local_ones(tmp_path: Path) -> None:
    members = {
        f"{k}.{kind}": flac(160 + k) if kind == "flac" else b"x" for k in range(9) for kind in ("flac", "txt")
    }
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/tars/train-0.tar", Path(write_tar(tmp_path / "t.tar", members)).read_bytes())
    clips, rejected = load_clips("memory://tars", "train")
    filesystem.rm("/tars", recursive=True)

    assert [(c.id, len(c.pcm)) for c in clips] == [(f"{k}", 160 + k) for k in range(9)]
    assert rejected == []


def test_a_file_that_is_no_tar_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(CorpusError, match=r"t\.tar: expected a tar file, got one that cannot be read"):
        list_corpus(str(tmp_path))
