"""A labelled corpus: a folder of parquet shards, one row per clip, written by labelling and read by training.

Text and times are columns, never control tokens: those change between releases of tokenizers.
"""

from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from voxray.audio import duration_s
from voxray.corpora.items import Item, previous_texts, timed_segments
from voxray.corpora.store import SEGMENT, WORD, Clip, read_segments, read_words
from voxray.errors import CorpusError

CLIP_FIELDS = [
    ("id", pa.string()),
    ("audio", pa.binary()),  # PCM16 little-endian, 16 kHz mono
    ("duration_s", pa.float32()),
    ("text", pa.string()),  # the reference; null where there is none
    ("language", pa.string()),
    ("task", pa.string()),
    ("speaker", pa.string()),
    ("recording", pa.string()),
    ("start_s", pa.float64()),  # the clip's place in its recording
    ("end_s", pa.float64()),
    ("split", pa.string()),
    ("no_speech", pa.bool_()),  # marked so in the corpus
]
LABEL_FIELDS = [
    ("pseudo_text", pa.string()),
    ("segments", pa.list_(SEGMENT)),  # times from the clip's start
    ("words", pa.list_(WORD)),
    ("wer", pa.float32()),  # as a fraction; null without a reference
    ("cer", pa.float32()),
    ("reference_length", pa.int32()),  # words, or characters in a language written without spaces
    ("substitutions", pa.int32()),
    ("deletions", pa.int32()),
    ("insertions", pa.int32()),
    ("avg_logprob", pa.float32()),
    ("no_speech_prob", pa.float32()),
    ("compression_ratio", pa.float32()),
    ("chars_per_s", pa.float32()),
]
SCHEMA = pa.schema([*CLIP_FIELDS, *LABEL_FIELDS])
LOCK = ".lock"  # a file in the `out` of a labelling job, held while that writes
REJECTED = "rejected.jsonl"  # the one that it writes last
TEACHER = b"voxray.teacher"  # metadata of a shard: the digest of the model that labelled it

_CLIP_COLUMNS = ["id", "audio", "pseudo_text", "text", "speaker", "language", "task", "words", "segments"]
_PLACE_COLUMNS = ["id", "speaker", "language", "recording", "split", "start_s", "end_s"]


def read_table(folder: Path) -> pa.Table:
    """Read every column but the audio, sorted by id.

    `folder` holds the shards, or is the `out` of a labelling job. Raises CorpusError where it is neither.
    """
    columns = [name for name in SCHEMA.names if name != "audio"]
    tables = [_read(file, columns) for file in shard_files(folder)]
    return pa.concat_tables(tables).sort_by("id").combine_chunks()


def read_clips(
    folder: Path, ids: Collection[str] | None = None, *, references: bool = False
) -> Iterator[Clip]:
    """Yield the clips called `ids` (None: all) with the teacher's text and times, in the order of the shards.

    With `references` the text is the corpus's own, without times unless it is the teacher's too. A clip's
    `previous` text is that of another one of `ids`. Raises CorpusError where `folder` is not a labelled
    corpus or lacks one of `ids`.
    """
    for part in shard_selections(folder, ids, references=references):
        yield from read_selection(part)


@dataclass(frozen=True, slots=True)
class ShardSelection:
    """What is read of one shard: the ids of its clips, with the text before each, which may be empty."""

    file: Path
    previous: Mapping[str, str]
    references: bool


def shard_selections(
    folder: Path, ids: Collection[str] | None = None, *, references: bool = False
) -> list[ShardSelection]:
    """Return what `read_clips` reads, shard by shard, so that several processes can share the reading.

    Raises CorpusError as `read_clips` does.
    """
    wanted = None if ids is None else set(ids)
    placed = {
        file: list(_placed(file, "text" if references else "pseudo_text")) for file in shard_files(folder)
    }
    found = {item.id for items in placed.values() for item in items}
    if missing := (wanted or set()) - found:
        raise CorpusError(f"{folder}: expected the clip {min(missing)!r}, got none; label the corpus again.")
    chosen = found if wanted is None else wanted
    told = (i if i.id in chosen else replace(i, text=None) for items in placed.values() for i in items)
    previous = previous_texts(told)
    return [
        ShardSelection(file, {i.id: previous.get(i.id, "") for i in items if i.id in chosen}, references)
        for file, items in placed.items()
    ]


def read_selection(selection: ShardSelection) -> Iterator[Clip]:
    """Yield the clips of one shard; audio is read only of the row groups that hold one of them."""
    for clip in _clips(selection.file, selection.previous.keys(), selection.references):
        yield replace(clip, previous=selection.previous[clip.id])


def check_finished(folder: Path) -> None:
    """Raise CorpusError where `folder` is the `out` of a labelling job that has not ended."""
    if (folder / LOCK).exists() and not (folder / REJECTED).exists():
        raise CorpusError(
            f"{folder}: expected finished labels, got those of a pseudo_label that has not ended; run it "
            f"again, which goes on where it was, or name {folder / 'labelled'} to learn from what is there."
        )


def shard_files(folder: Path) -> list[Path]:
    """Return the shards in `folder` (or `folder/labelled`), in order; CorpusError where there are none."""
    place = folder / "labelled" if (folder / "labelled").is_dir() else folder
    found = sorted(place.glob("*.parquet")) if place.is_dir() else []
    if not found:
        raise CorpusError(
            f"{folder}: expected a labelled corpus (labelled/*.parquet), got none; run pseudo_label."
        )
    return found


def teachers(folder: Path) -> set[str]:
    """Return the digests of the models that labelled; shards of earlier versions name none."""
    footers = (pq.read_schema(file).metadata or {} for file in shard_files(folder))
    return {footer[TEACHER].decode() for footer in footers if TEACHER in footer}


def _read(file: Path, columns: list[str]) -> pa.Table:
    try:
        with pq.ParquetFile(file) as parquet:
            _check(file, parquet)
            return parquet.read(columns=columns).cast(pa.schema([SCHEMA.field(c) for c in columns]))
    except (OSError, pa.ArrowException) as e:
        raise _unreadable(file, e) from e


def _placed(file: Path, column: str) -> Iterator[Item]:
    """Yield the clips of a shard without their audio as items with the text in `column`."""
    for row in _read(file, [*_PLACE_COLUMNS, column]).to_pylist():
        text = row.pop(column)
        yield Item(source="", text=text, **row)


def _clips(file: Path, wanted: Set[str], references: bool) -> Iterator[Clip]:
    try:
        with pq.ParquetFile(file) as parquet:
            _check(file, parquet)
            for group in range(parquet.num_row_groups):
                if _holds(parquet, group, wanted):
                    rows = parquet.read_row_group(group, columns=_CLIP_COLUMNS).to_pylist()
                    yield from (_clip(row, references) for row in rows if row["id"] in wanted)
    except (OSError, pa.ArrowException) as e:
        raise _unreadable(file, e) from e


def _holds(parquet: pq.ParquetFile, group: int, wanted: Set[str]) -> bool:
    ids = parquet.read_row_group(group, columns=["id"]).column("id")
    return any(i in wanted for i in ids.to_pylist())


def _check(file: Path, parquet: pq.ParquetFile) -> None:
    if lacking := set(SCHEMA.names) - set(parquet.schema_arrow.names):
        raise CorpusError(
            f"{file}: expected a labelled corpus, got one without column {min(lacking)!r}; run pseudo_label."
        )


def _unreadable(file: Path, error: Exception) -> CorpusError:
    return CorpusError(
        f"{file}: expected a parquet shard, got one that cannot be read ({error}); "
        "remove it and run pseudo_label again."
    )


def _clip(row: dict[str, Any], references: bool) -> Clip:
    if references and row["text"] != row["pseudo_text"]:
        row |= {"pseudo_text": row["text"] or "", "words": (), "segments": ()}
    pcm = np.frombuffer(row["audio"], dtype="<i2").copy()  # writable: torch warns of others
    return Clip(
        id=row["id"],
        pcm=pcm,
        text=row["pseudo_text"],
        speaker=row["speaker"] or "",
        language=row["language"],
        words=read_words(row),
        segments=timed_segments(read_segments(row), duration_s(pcm)),
        task=row["task"] or "transcribe",
    )
