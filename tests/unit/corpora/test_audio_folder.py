"""Tables of audio folders as people have them: Hugging Face's metadata, quoted lines, names in two forms."""

import csv
import io
import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxray.audio import encode
from voxray.corpora.sources import list_corpus, load_clips
from voxray.corpora.splits import split_of
from voxray.errors import CorpusError

FLAC = encode(np.arange(800, dtype=np.int16))
BREAKS = ["\n", "\r\n", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1e"]


def audio(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(FLAC)


def write_csv(file: Path, rows: list[dict[str, str]], delimiter: str = ",") -> None:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, rows[0], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    file.write_bytes(out.getvalue().encode())


def write_jsonl(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize(
    "column",
    ["transcription", "text", "sentence", "transcript", "raw_transcription", "normalized_text", "raw_text"],
)
def test_metadata_of_hugging_face_gives_texts(tmp_path: Path, column: str) -> None:
    for kind in ("csv", "tsv", "jsonl"):
        folder = tmp_path / kind
        audio(folder, "a.flac", "sub/b.flac")
        rows = [{"file_name": "a.flac", column: "one"}, {"file_name": "sub/b.flac", column: "two"}]
        if kind == "jsonl":
            write_jsonl(folder / "metadata.jsonl", rows)
        else:
            write_csv(folder / f"metadata.{kind}", rows, "\t" if kind == "tsv" else ",")
        listing = list_corpus(str(folder), need_text=True)

        assert {i.id: (i.text, i.split) for i in listing.items} == {
            "a": ("one", split_of("a")),
            "sub/b": ("two", split_of("sub/b")),
        }
        assert listing.rejected == ()


def test_metadata_in_the_folders_of_splits_gives_the_splits(tmp_path: Path) -> None:
    for name, text in (("train", "one"), ("validation", "two"), ("test", "three")):
        audio(tmp_path / name, "clip.flac")
        write_csv(tmp_path / name / "metadata.csv", [{"file_name": "clip.flac", "transcription": text}])
    listing = list_corpus(str(tmp_path))

    assert {i.id: (i.text, i.split) for i in listing.items} == {
        "train/clip": ("one", "train"),
        "validation/clip": ("two", "dev"),
        "test/clip": ("three", "test"),
    }
    assert [c.text for c in load_clips(str(tmp_path), "dev")[0]] == ["two"]


def test_one_table_names_files_in_the_folders_of_splits(tmp_path: Path) -> None:
    audio(tmp_path, "data/train/a.flac", "data/test/b.flac", "c.flac")
    rows = [{"file_name": n, "transcription": "x"} for n in ("data/train/a.flac", "data/test/b.flac")]
    write_jsonl(tmp_path / "metadata.jsonl", [*rows, {"file_name": "c.flac", "split": "validation"}])

    assert {i.id: i.split for i in list_corpus(str(tmp_path)).items} == {
        "data/train/a": "train",
        "data/test/b": "test",
        "c": "dev",
    }


def test_metadata_has_speakers_languages_and_a_place_in_the_file(tmp_path: Path) -> None:
    audio(tmp_path, "a.flac", "b.flac")
    row = {"file_name": "a.flac", "transcription": "hallo", "speaker_id": "7", "locale": "de-AT", "empty": ""}
    write_csv(tmp_path / "metadata.csv", [row, row | {"file_name": "b.flac", "locale": "", "speaker_id": ""}])
    first, second = list_corpus(str(tmp_path)).items

    assert (first.speaker, first.language, first.split) == ("7", "de", split_of("7"))
    assert (second.speaker, second.language, second.split) == ("", None, split_of("b"))


def test_a_row_without_text_takes_the_text_beside_its_audio(tmp_path: Path) -> None:
    audio(tmp_path, "a.flac", "b.flac")
    (tmp_path / "a.txt").write_text("from its file\n")
    write_jsonl(tmp_path / "metadata.jsonl", [{"file_name": "a.flac"}, {"file_name": "b.flac"}])

    assert [i.text for i in list_corpus(str(tmp_path)).items] == ["from its file", None]


def test_rows_that_are_wrong_are_listed_with_their_line(tmp_path: Path) -> None:
    audio(tmp_path, "corpus/a.flac", "outside.flac")
    rows = ["a.flac,one,", "gone.flac,two,", "../outside.flac,three,", ",four,", "a.flac,five,Klingon"]
    table = "\n".join(["file_name,transcription,language", *rows])
    (tmp_path / "corpus" / "metadata.csv").write_text(table)
    listing = list_corpus(str(tmp_path / "corpus"))

    assert [i.text for i in listing.items] == ["one"]
    reasons = [r.reason for r in listing.rejected]
    assert "line 3 names gone.flac, but there is no such file" in reasons[0]
    assert "line 4 names ../outside.flac, but there is no such file" in reasons[1]
    assert "line 5: 'audio': field required" in reasons[2]
    assert "line 6: 'language': expected a language by its code or English name" in reasons[3]
    assert reasons[3].endswith("such as en or English, got 'Klingon'.")


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_metadata_of_which_nothing_can_be_read_ends_in_a_sentence(tmp_path: Path, name: str) -> None:
    audio(tmp_path, "a.flac")
    (tmp_path / name).write_text("a|one two|one two\n")

    with pytest.raises(CorpusError, match=rf"{name}.*: expected .*"):
        list_corpus(str(tmp_path))


@pytest.mark.parametrize("written", ["./sub/a.flac", "sub\\a.flac", ".\\sub\\a.flac", "sub//a.flac"])
def test_a_file_is_found_however_its_path_is_written(tmp_path: Path, written: str) -> None:
    audio(tmp_path, "sub/a.flac")
    write_csv(tmp_path / "metadata.csv", [{"file_name": written, "transcription": "one"}])
    listing = list_corpus(str(tmp_path))

    assert [(i.id, i.text) for i in listing.items] == [("sub/a", "one")]
    assert listing.rejected == ()


def test_the_first_text_that_is_not_blank_counts(tmp_path: Path) -> None:
    audio(tmp_path, "a.flac", "b.flac", "c.flac")
    rows = [
        {"file_name": "a.flac", "raw_text": "", "normalized_text": "one"},
        {"file_name": "b.flac", "raw_text": "Two.", "normalized_text": " "},
        {"file_name": "c.flac", "raw_text": "null", "normalized_text": ""},
    ]
    write_csv(tmp_path / "metadata.csv", rows)

    assert [i.text for i in list_corpus(str(tmp_path)).items] == ["one", "Two.", "null"]


def test_what_a_folder_holds_and_is_not_used_is_told(tmp_path: Path) -> None:
    audio(tmp_path, "a.flac", "b.flac", "c.flac")
    write_csv(tmp_path / "metadata.csv", [{"file_name": "a.flac", "transcription": "one"}])
    write_csv(tmp_path / "transcripts.csv", [{"path": "a.flac", "words": "one"}])
    listing = list_corpus(str(tmp_path))

    assert [i.id for i in listing.items] == ["a"]
    reasons = [r.reason for r in listing.rejected]
    assert len(reasons) == 2
    assert "2 audio files that no table names, the first b.flac" in reasons[0]
    assert "transcripts.csv: expected metadata.csv" in reasons[1]


def test_a_table_of_another_name_is_told_where_there_is_no_other(tmp_path: Path) -> None:
    audio(tmp_path, "a.flac")
    (tmp_path / "labels.tsv").write_text("path\tsentence\na.flac\tone\n")
    listing = list_corpus(str(tmp_path))

    assert [i.text for i in listing.items] == [None]
    assert ["labels.tsv: expected metadata.csv" in r.reason for r in listing.rejected] == [True]


@pytest.mark.parametrize("line_break", BREAKS)
@pytest.mark.parametrize("table", ["metadata.csv", "train_files.csv", "metadata.jsonl", "a.txt"])
def test_a_line_break_inside_a_text_is_a_space(tmp_path: Path, table: str, line_break: str) -> None:
    audio(tmp_path, "a.flac", "b.flac")
    text = f"first line{line_break}second line"
    rows = [{"uid": n, "file_name": f"{n}.flac", "text": t} for n, t in (("a", text), ("b", "next"))]
    if table.endswith(".csv"):
        write_csv(tmp_path / table, rows)
    elif table.endswith(".jsonl"):
        write_jsonl(tmp_path / table, rows)
    else:
        (tmp_path / "a.txt").write_bytes(text.encode())
        (tmp_path / "b.txt").write_text("next\n")
    listing = list_corpus(str(tmp_path))

    assert {i.id: i.text for i in listing.items} == {"a": "first line second line", "b": "next"}
    assert listing.rejected == ()


@pytest.mark.parametrize("name", ["café", "Ångström", "한국어", "が", "Việt", "й"])
@pytest.mark.parametrize(("of_audio", "of_text"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
def test_names_that_look_alike_belong_together(
    tmp_path: Path, name: str, of_audio: Any, of_text: Any
) -> None:
    stored, written = unicodedata.normalize(of_audio, name), unicodedata.normalize(of_text, name)
    for kind in ("txt", "train_files.csv", "metadata.jsonl", "m.jsonl"):
        folder = tmp_path / kind.partition(".")[0]
        audio(folder / stored, f"{stored}.flac")
        place = f"{written}/{written}.flac"
        if kind == "txt":
            (folder / written).mkdir(exist_ok=True)
            (folder / written / f"{written}.txt").write_text("one")
        elif kind == "train_files.csv":
            write_csv(folder / kind, [{"uid": "x", "file_name": place, "text": "one"}])
        else:
            write_jsonl(folder / kind, [{"file_name": place, "text": "one"}])
        clips, rejected = load_clips(str(folder / kind if kind == "m.jsonl" else folder))

        assert [(c.text, len(c.pcm)) for c in clips] == [("one", 800)]
        assert rejected == []


def told(folder: Path) -> tuple[dict[str, str | None], list[str]]:
    """The texts of a corpus by their ids, and the reasons of what was rejected."""
    listing = list_corpus(str(folder))
    return {i.id: i.text for i in listing.items}, [r.reason for r in listing.rejected]


QUOTES = {
    "unbalanced": ('"Stop, he said', '"Stop, he said'),
    "inside": ('three inch" pipe', 'three inch" pipe'),
    "at the end": ('he said "stop"', 'he said "stop"'),
    "at the beginning": ('"Stop," he said', '"Stop," he said'),
    "of csv": ('"Stop, ""Tom"" said"', 'Stop, "Tom" said'),
    "over two lines": ('"Stop,\nTom said"', "Stop, Tom said"),
}


@pytest.mark.parametrize("kind", QUOTES)
def test_quotes_in_a_tsv_change_no_other_row(tmp_path: Path, kind: str) -> None:
    audio(tmp_path, "a.flac", "b.flac", "c.flac")
    written, read = QUOTES[kind]
    rows = ["file_name\tsentence", f"a.flac\t{written}", "b.flac\ttwo", 'c.flac\the said "no"', ""]
    (tmp_path / "metadata.tsv").write_text("\n".join(rows))

    assert told(tmp_path) == ({"a": read, "b": "two", "c": 'he said "no"'}, [])


@pytest.mark.parametrize(
    "last", ['c.flac,three inch" pipe', 'c.flac,"no"', 'c.flac,three inch"', "c.flac,three"]
)
def test_a_csv_row_whose_quote_is_not_closed_is_rejected_alone(tmp_path: Path, last: str) -> None:
    audio(tmp_path, "a.flac", "b.flac", "c.flac")
    (tmp_path / "metadata.csv").write_text(f'file_name,text\na.flac,"Stop, he said\nb.flac,two\n{last}\n')
    texts, reasons = told(tmp_path)

    assert texts == {"b": "two", "c": last.removeprefix("c.flac,").strip('"' if last[-2:] == 'o"' else "")}
    assert "line 2: expected a row of csv, got a quote that is not closed" in reasons[0]


@pytest.mark.parametrize("table", ["metadata.csv", "train_files.csv"])
def test_a_row_with_more_fields_than_columns_is_rejected(tmp_path: Path, table: str) -> None:
    audio(tmp_path, "a.flac", "b.flac")
    rows = ["uid,file_name,text", "a,a.flac,Yes, I think so", "b,b.flac,two,"]
    (tmp_path / table).write_text("\n".join(rows))
    texts, reasons = told(tmp_path)

    assert texts == {"b": "two"}
    assert f"{table} line 2: expected 3 fields, got 4" in reasons[0]


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_spaces_around_names_of_columns_do_not_count(tmp_path: Path, kind: str) -> None:
    audio(tmp_path, "a.flac")
    separator = ", " if kind == "csv" else " \t "
    (tmp_path / f"metadata.{kind}").write_text(
        f"file_name{separator}transcription\na.flac{separator[-2]}one\n"
    )

    assert told(tmp_path) == ({"a": "one"}, [])


@pytest.mark.parametrize("table", ["metadata.csv", "metadata.jsonl", "train_files.csv", "m.jsonl"])
def test_a_table_without_a_column_of_texts_is_told_once(tmp_path: Path, table: str) -> None:
    audio(tmp_path, "a.flac", "b.flac")
    rows = [{"uid": n, "file_name": f"{n}.flac", "language": "en", "caption": "one"} for n in "ab"]
    (write_csv if table.endswith(".csv") else write_jsonl)(tmp_path / table, rows)
    corpus = tmp_path / table if table == "m.jsonl" else tmp_path
    texts, reasons = told(corpus)

    assert list(texts.values()) == [None, None]
    (reason,) = reasons
    assert f"{table}: expected a column of texts (sentence, text, transcription, " in reason
    assert reason.endswith("got caption; name it with text_column.")
    with pytest.raises(CorpusError, match="got caption; name it with text_column"):
        list_corpus(str(corpus), need_text=True)


def test_a_table_of_audio_alone_or_with_texts_in_files_is_not_told(tmp_path: Path) -> None:
    audio(tmp_path / "alone", "a.flac")
    audio(tmp_path / "files", "a.flac")
    (tmp_path / "files" / "a.txt").write_text("one")
    write_csv(
        tmp_path / "alone" / "metadata.csv", [{"file_name": "a.flac", "language": "en", "speaker": "7"}]
    )
    write_csv(tmp_path / "files" / "metadata.csv", [{"file_name": "a.flac", "gender": "f"}])

    assert told(tmp_path / "alone") == ({"a": None}, [])
    assert told(tmp_path / "files") == ({"a": "one"}, [])


@pytest.mark.parametrize("column", ["transcription", "sentence", "raw_text"])
def test_a_table_of_a_split_has_texts_by_any_of_their_names(tmp_path: Path, column: str) -> None:
    audio(tmp_path, "a.flac")
    write_csv(tmp_path / "train_files.csv", [{"uid": "a", "file_name": "a.flac", column: "one"}])

    assert told(tmp_path) == ({"a": "one"}, [])


def test_a_text_is_found_whatever_the_case_of_its_suffix(tmp_path: Path) -> None:
    audio(tmp_path, "a.FLAC", "b.flac", "c.flac")
    for name in ("a.TXT", "b.Txt"):
        (tmp_path / name).write_text("one")

    assert told(tmp_path) == ({"a": "one", "b": "one", "c": None}, [])
