"""Parquet and Arrow tables as the Hugging Face hub and its library write them, and all that can be wrong."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from voxray.audio import encode
from voxray.corpora.columns import Columns
from voxray.corpora.sources import list_corpus, load_clips
from voxray.corpora.splits import split_of
from voxray.errors import CorpusError
from voxray.transcript import Segment

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # Hugging Face's Audio


def flac(samples: int) -> bytes:
    return encode(np.ones(samples, np.int16))


def rows(count: int, first: int = 0, **more: list[Any]) -> dict[str, Any]:
    """Rows of Hugging Face's Audio; clip k has 160 + k samples."""
    audio = [{"bytes": flac(160 + k), "path": f"{k}.flac"} for k in range(first, first + count)]
    return {
        "audio": pa.array(audio, AUDIO),
        "text": [f"text {k}" for k in range(first, first + count)],
        **more,
    }


def write_parquet(file: Path, columns: dict[str, Any], **options: Any) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file, **options)
    return str(file)


def write_saved(folder: Path, columns: dict[str, Any], split: str | None = None) -> None:
    """Write a folder as `Dataset.save_to_disk` of datasets 5.2 does."""
    folder.mkdir(parents=True)
    table = pa.table(columns)
    with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as out:
        out.write_table(table, max_chunksize=2)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": split}
    (folder / "state.json").write_text(json.dumps(state))


def listed(corpus: str, **options: Any) -> list[tuple[str, str, str | None]]:
    return [(i.id, i.split, i.text) for i in list_corpus(corpus, **options).items]


def reason(corpus: Path | str, **options: Any) -> str:
    with pytest.raises(CorpusError) as error:
        list_corpus(str(corpus), **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_of_the_hub_has_its_splits_texts_and_audio(tmp_path: Path) -> None:
    for k, split in enumerate(("train", "validation", "test")):
        write_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet", rows(2, 2 * k))
    clips, rejected = load_clips(str(tmp_path))

    assert [(c.id, c.text, len(c.pcm)) for c in clips] == [
        ("data/test-00000-of-00001/0", "text 4", 164),
        ("data/test-00000-of-00001/1", "text 5", 165),
        ("data/train-00000-of-00001/0", "text 0", 160),
        ("data/train-00000-of-00001/1", "text 1", 161),
        ("data/validation-00000-of-00001/0", "text 2", 162),
        ("data/validation-00000-of-00001/1", "text 3", 163),
    ]
    assert rejected == []
    assert [c.text for c in load_clips(str(tmp_path), "dev")[0]] == ["text 2", "text 3"]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("default/validation/0000.parquet", "dev"),
        ("train.clean.100/0.parquet", "train"),
        ("a/test_1.parquet", "test"),
    ],
)
def test_splits_are_words_of_names_and_folders(tmp_path: Path, name: str, split: str) -> None:
    write_parquet(tmp_path / name, rows(1))
    assert [i.split for i in list_corpus(str(tmp_path)).items] == [split]


def test_a_file_that_names_no_split_is_split_by_speaker_or_clip(tmp_path: Path) -> None:
    one = write_parquet(tmp_path / "a.parquet", rows(2, speaker_id=[7, 0]))
    assert [(i.speaker, i.split) for i in list_corpus(one).items] == [
        ("7", split_of("7")),
        ("0", split_of("0")),
    ]
    other = write_parquet(tmp_path / "b.parquet", rows(1))
    assert listed(other) == [("b/0", split_of("b/0"), "text 0")]


def test_ids_are_those_of_the_column_where_they_differ(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", rows(2, id=[0, 1]))
    assert [i.id for i in list_corpus(str(tmp_path)).items] == ["0", "1"]
    write_parquet(tmp_path / "train-1.parquet", rows(1, id=[1], key=["k"]))
    assert [i.id for i in list_corpus(str(tmp_path)).items] == ["train-0/0", "train-0/1", "train-1/0"]
    one = str(tmp_path / "train-1.parquet")
    assert [i.id for i in list_corpus(one, columns=Columns(id_column="key")).items] == ["k"]


def test_columns_of_other_names(tmp_path: Path) -> None:
    table = rows(1, normalised=["one"], other=[1.0]) | {"sentence": ["One!"]}
    table["speech"] = table.pop("audio")
    corpus = write_parquet(tmp_path / "train.parquet", table)

    assert listed(corpus) == [("train/0", "train", "One!")]
    assert listed(corpus, columns=Columns(text_column="normalised")) == [("train/0", "train", "one")]
    assert "expected a column 'wav' (audio_column), got text, normalised" in reason(
        corpus, columns=Columns(audio_column="wav")
    )


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_audio_may_be_plain_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    corpus = write_parquet(tmp_path / "a.parquet", {"audio": pa.array([flac(160), flac(320)], kind)})
    assert [len(c.pcm) for c in load_clips(corpus, need_text=False)[0]] == [160, 320]


def test_audio_may_be_paths_relative_to_the_table_with_a_place_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    (tmp_path / "wavs" / "a.flac").write_bytes(flac(32000))
    table = {
        "audio": ["wavs/a.flac"] * 2,
        "offset": [0.0, 0.5],
        "duration": [0.5, 1.0],
        "text": ["one", "two"],
    }
    corpus = write_parquet(tmp_path / "tables" / ".." / "train.parquet", table)
    clips, rejected = load_clips(corpus)

    assert [(c.id, len(c.pcm), c.previous) for c in clips] == [
        ("train/0", 8000, ""),
        ("train/1", 16000, "one"),
    ]
    assert rejected == []


def test_a_path_in_hugging_faces_audio_is_read_where_there_are_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(flac(160))
    audio = [
        {"bytes": None, "path": "a.flac"},
        {"bytes": None, "path": None},
        None,
        {"bytes": None, "path": "b"},
    ]
    corpus = write_parquet(tmp_path / "t.parquet", {"audio": pa.array(audio, AUDIO)})
    clips, rejected = load_clips(corpus, need_text=False)

    assert [(c.id, len(c.pcm)) for c in clips] == [("t/0", 160)]
    assert [r.id for r in rejected] == ["t/1", "t/2", "t/3"]
    assert rejected[0].reason == f"{corpus}#audio/1: expected the bytes of a clip in this row, got none."
    assert "No such file" in rejected[2].reason


def test_class_labels_sentences_and_clips_without_speech(tmp_path: Path) -> None:
    sentences = [[{"start": 0.0, "end": 0.005, "text": "one"}], []]
    table = pa.table(rows(2, language=[1, 0], sentences=sentences) | {"text": [None, ""]})
    features = {"language": {"names": ["en", "de"], "_type": "ClassLabel"}, "text": {"dtype": "string"}}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "t.parquet")
    first, second = list_corpus(str(tmp_path / "t.parquet"), need_text=True).items

    assert (first.language, first.sentences, first.text) == ("de", (Segment(0.0, 0.005, "one"),), "one")
    assert (second.language, second.no_speech) == ("en", True)


def test_rows_that_are_wrong_are_listed_with_their_number(tmp_path: Path) -> None:
    corpus = write_parquet(tmp_path / "t.parquet", rows(2, language=["en", "Klingon"]))
    listing = list_corpus(corpus)
    assert [i.id for i in listing.items] == ["t/0"]
    assert [(r.id, "t.parquet row 1: 'language': expected" in r.reason) for r in listing.rejected] == [
        ("t/1", True)
    ]


def test_a_saved_dataset_and_one_with_splits(tmp_path: Path) -> None:
    write_saved(tmp_path / "one", rows(5))
    write_saved(tmp_path / "of-split", rows(1), split="test")
    for k, split in enumerate(("train", "validation")):
        write_saved(tmp_path / "dict" / split, rows(2, k))
    (tmp_path / "dict" / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    (tmp_path / "one" / "cache-0.arrow").write_bytes(b"a file that the library keeps beside it")

    clips, rejected = load_clips(str(tmp_path / "one"))
    assert [(c.text, len(c.pcm)) for c in clips] == [(f"text {k}", 160 + k) for k in range(5)]
    assert rejected == []
    assert [s for _, s, _ in listed(str(tmp_path / "of-split"))] == ["test"]
    assert listed(str(tmp_path / "dict")) == [
        ("train/data-00000-of-00001/0", "train", "text 0"),
        ("train/data-00000-of-00001/1", "train", "text 1"),
        ("validation/data-00000-of-00001/0", "dev", "text 1"),
        ("validation/data-00000-of-00001/1", "dev", "text 2"),
    ]


def test_an_arrow_file_of_the_file_format(tmp_path: Path) -> None:
    table = pa.table(rows(3))
    with pa.ipc.new_file(tmp_path / "test.arrow", table.schema) as out:
        out.write_table(table)
    assert [len(c.pcm) for c in load_clips(str(tmp_path / "test.arrow"))[0]] == [160, 161, 162]


def test_metadata_parquet_names_the_files_of_an_audio_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.flac").write_bytes(flac(160))
    write_parquet(
        tmp_path / "metadata.parquet", {"file_name": ["a.flac", "b.flac"], "transcription": ["one", "two"]}
    )
    assert listed(str(tmp_path), need_text=True) == [("a", split_of("a"), "one"), ("b", split_of("b"), "two")]


def test_parquet_under_a_url_reads_like_a_local_one(tmp_path: Path, memory: Any) -> None:
    write_parquet(tmp_path / "t.parquet", rows(40, 0), row_group_size=7)
    memory.pipe("/hub/en/train/0000.parquet", (tmp_path / "t.parquet").read_bytes())
    clips, rejected = load_clips("memory://hub/en", "train")
    assert [(c.id, len(c.pcm)) for c in clips] == [(f"train/0000/{k}", 160 + k) for k in range(40)]
    assert rejected == []


@pytest.fixture
def memory() -> Iterator[Any]:
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.rm("/hub", recursive=True)


def test_arrow_under_a_url_asks_for_a_local_disk(tmp_path: Path, memory: Any) -> None:
    write_saved(tmp_path / "one", rows(1))
    for file in (tmp_path / "one").iterdir():
        memory.pipe(f"/hub/one/{file.name}", file.read_bytes())
    assert "expected an Arrow file on a local disk" in reason("memory://hub/one")


def test_a_table_without_audio_names_its_columns(tmp_path: Path) -> None:
    corpus = write_parquet(tmp_path / "t.parquet", {"wav": ["a.wav"], "text": ["one"]})
    assert reason(corpus).endswith(
        "t.parquet: expected one column of audio (audio, audio_filepath, file_name), "
        "got the columns wav, text; name it with audio_column."
    )


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"audio": [[0.0, 0.1]]}, "expected audio files in the column 'audio', .* got list<"),
        ({"audio": [b""], "pseudo_text": ["one"]}, "expected a corpus, got labels"),
    ],
)
def test_tables_of_something_else_are_refused(tmp_path: Path, columns: dict[str, Any], expected: str) -> None:
    with pytest.raises(CorpusError, match=expected):
        list_corpus(write_parquet(tmp_path / "t.parquet", columns))


@pytest.mark.parametrize("kept", [0, 4, -50])
def test_a_truncated_table_is_named_and_the_others_are_used(tmp_path: Path, kept: int) -> None:
    for kind in ("parquet", "arrow"):
        folder = tmp_path / kind
        write_saved(folder, rows(2)) if kind == "arrow" else write_parquet(folder / "a.parquet", rows(2))
        (whole,) = folder.glob(f"*.{kind}")
        cut = folder / f"cut.{kind}"
        cut.write_bytes(whole.read_bytes()[:kept])
        assert f"cut.{kind}: expected a {kind} file, got one that cannot be read (" in reason(cut)
        if kind == "parquet":
            listing = list_corpus(str(folder))
            assert ([i.id for i in listing.items], [r.id for r in listing.rejected]) == (
                ["a/0", "a/1"],
                ["cut.parquet"],
            )


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("gone.parquet", "gone.arrow", "gone.tar"):
        assert f"{name}: expected a file, got none." in reason(tmp_path / name)


def test_a_saved_dataset_whose_index_is_broken_is_named(tmp_path: Path) -> None:
    write_saved(tmp_path / "one", rows(1))
    (tmp_path / "one" / "state.json").write_text("{}")
    assert "state.json: expected the files of a saved dataset" in reason(tmp_path / "one")


def test_tables_beside_audio_files_or_tars_ask_to_be_kept_apart(tmp_path: Path) -> None:
    write_parquet(tmp_path / "t.parquet", rows(1))
    (tmp_path / "a.flac").write_bytes(flac(160))
    assert "expected one kind of corpus, got t.parquet and a.flac; keep them apart" in reason(tmp_path)
    (tmp_path / "a.flac").rename(tmp_path / "a.tar")
    assert "got t.parquet and a.tar" in reason(tmp_path)
