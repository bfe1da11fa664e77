"""Columns that a corpus calls otherwise than its format does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxray.audio import encode
from voxray.corpora.columns import Columns
from voxray.corpora.manifests import parse_line
from voxray.corpora.sources import list_corpus, load_clips
from voxray.errors import CorpusError

MAPPED = Columns(id_column="key", audio_column="wav", text_column="normalised")


def write_csv(folder: Path, header: str, *rows: str) -> str:
    (folder / "a.flac").write_bytes(encode(np.ones(1600, np.int16)))
    (folder / "train_files.csv").write_text("\n".join([header, *rows]) + "\n")
    return str(folder)


def parse(line: dict[str, Any], columns: Columns) -> tuple[str, str, str | None]:
    item = parse_line(json.dumps(line), "/corpus/m.jsonl", 3, columns)
    return item.id, item.source, item.text


def test_a_csv_with_other_names(tmp_path: Path) -> None:
    corpus = write_csv(tmp_path, "key,wav,text,normalised,speaker", "one,a.flac,One!,one,anna")
    (clip,) = load_clips(corpus, columns=MAPPED)[0]
    assert (clip.id, clip.text, clip.speaker) == ("one", "one", "anna")


def test_one_name_may_differ(tmp_path: Path) -> None:
    corpus = write_csv(tmp_path, "uid,file_name,text,normalised", "one,a.flac,One!,one")
    assert list_corpus(corpus).items[0].text == "One!"
    assert list_corpus(corpus, columns=Columns(text_column="normalised")).items[0].text == "one"


def test_a_column_that_the_csv_lacks_is_named_with_its_key(tmp_path: Path) -> None:
    corpus = write_csv(tmp_path, "uid,file_name,text", "one,a.flac,One!")
    with pytest.raises(CorpusError, match=r"a column 'normalised' \(text_column\), got uid, file_name, text"):
        list_corpus(corpus, columns=Columns(text_column="normalised"))


def test_other_names_without_a_mapping_say_how_to_map_them(tmp_path: Path) -> None:
    corpus = write_csv(tmp_path, "key,wav,text", "one,a.flac,One!")
    with pytest.raises(CorpusError, match="name the columns with id_column, audio_column and text_column"):
        list_corpus(corpus)


def test_a_manifest_of_paths_has_the_times_of_nemos_form() -> None:
    line = {"key": "one", "wav": "a.wav", "offset": 1.5, "duration": 2.0, "text": "One!", "normalised": "one"}
    item = parse_line(json.dumps(line), "/corpus/m.jsonl", 3, MAPPED)
    assert (item.id, item.source, item.text) == ("one", "/corpus/a.wav", "one")
    assert (item.start_s, item.end_s) == (1.5, 3.5)


def test_a_manifest_of_the_other_form_keeps_its_times() -> None:
    line = {"key": "one", "wav": {"path": "a.wav", "start_time": 1}, "sentence": "One!", "normalised": "one"}
    assert parse(line, MAPPED) == ("one", "/corpus/a.wav", "one")


@pytest.mark.parametrize(
    "line",
    [
        {"audio_filepath": "a.wav", "duration": 1.0, "text": "One!", "raw": "one"},
        {"audio": {"path": "a.wav"}, "sentence": "One!", "raw": "one"},
    ],
)
def test_a_text_of_another_name_replaces_that_of_either_form(line: dict[str, Any]) -> None:
    assert parse(line, Columns(text_column="raw"))[2] == "one"


def test_a_line_without_the_key_is_rejected_with_its_number(tmp_path: Path) -> None:
    lines = [{"audio": {"path": "a.wav"}, "raw": "one"}, {"audio": {"path": "b.wav"}, "sentence": "two"}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    listing = list_corpus(str(tmp_path / "m.jsonl"), columns=Columns(text_column="raw"))
    assert [item.text for item in listing.items] == ["one"]
    assert [r.id for r in listing.rejected] == ["line 2"]
    assert "line 2: expected a column 'raw' (text_column), got audio, sentence." in listing.rejected[0].reason


@pytest.mark.parametrize("line", ["{", "[1]", "3"])
def test_a_line_that_is_no_object_is_refused_as_without_a_mapping(line: str) -> None:
    with pytest.raises(CorpusError) as with_columns:
        parse_line(line, "/corpus/m.jsonl", 3, MAPPED)
    with pytest.raises(CorpusError) as without:
        parse_line(line, "/corpus/m.jsonl", 3)
    assert str(with_columns.value) == str(without.value)
