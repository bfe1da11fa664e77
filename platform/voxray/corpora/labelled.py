"""A labelled corpus: a folder of parquet shards, one row per clip, written by labelling and read by training.

Text and times are columns, never control tokens: those change between releases of tokenizers.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from voxray.corpora.store import Clip
from voxray.errors import CorpusError
from voxray.transcript import Word

_SPAN = [("start_s", pa.float32()), ("end_s", pa.float32())]
SEGMENT = pa.struct([*_SPAN, ("text", pa.string())])
WORD = pa.struct([("text", pa.string()), *_SPAN])

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
    ("no_speech", pa.bool_()),  # the corpus says that nobody speaks
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

_CLIP_COLUMNS = ["id", "audio", "pseudo_text", "speaker", "language", "words"]


def read_table(folder: Path) -> pa.Table:
    """Every column but the audio, sorted by id.

    `folder` holds the shards, or is the `out` of a labelling job. Raises CorpusError where it is neither.
    """
    columns = [name for name in SCHEMA.names if name != "audio"]
    tables = [_read(file, columns) for file in shard_files(folder)]
    return pa.concat_tables(tables).sort_by("id").combine_chunks()


def read_clips(folder: Path, ids: Collection[str] | None = None) -> Iterator[Clip]:
    """The clips called `ids` (None: all), with the teacher's text and word times, in the order of the shards.

    Reads only the row groups that hold one of them. Raises CorpusError where `folder` is not a labelled
    corpus or lacks one of `ids`.
    """
    wanted = None if ids is None else set(ids)
    missing = set(wanted or ())
    for file in shard_files(folder):
        for clip in _clips(file, wanted):
            missing.discard(clip.id)
            yield clip
    if missing:
        raise CorpusError(
            f"{folder}: expected the clip {min(missing)!r}, and it is not there; label the corpus again."
        )


def shard_files(folder: Path) -> list[Path]:
    """The shards in `folder` (or `folder/labelled`), in order; CorpusError where there are none."""
    place = folder / "labelled" if (folder / "labelled").is_dir() else folder
    found = sorted(place.glob("*.parquet")) if place.is_dir() else []
    if not found:
        raise CorpusError(
            f"{folder}: expected a labelled corpus (labelled/*.parquet), and there is none; run pseudo_label."
        )
    return found


def _read(file: Path, columns: list[str]) -> pa.Table:
    try:
        with pq.ParquetFile(file) as parquet:
            _check(file, parquet)
            return parquet.read(columns=columns).cast(pa.schema([SCHEMA.field(c) for c in columns]))
    except (OSError, pa.ArrowException) as e:
        raise _unreadable(file, e) from e


def _clips(file: Path, wanted: set[str] | None) -> Iterator[Clip]:
    try:
        with pq.ParquetFile(file) as parquet:
            _check(file, parquet)
            for group in range(parquet.num_row_groups):
                if _holds(parquet, group, wanted):
                    rows = parquet.read_row_group(group, columns=_CLIP_COLUMNS).to_pylist()
                    yield from (_clip(row) for row in rows if wanted is None or row["id"] in wanted)
    except (OSError, pa.ArrowException) as e:
        raise _unreadable(file, e) from e


def _holds(parquet: pq.ParquetFile, group: int, wanted: set[str] | None) -> bool:
    if wanted is None:
        return True
    ids = parquet.read_row_group(group, columns=["id"]).column("id")
    return bool(pc.any(pc.is_in(ids, pa.array(wanted, pa.string()))).as_py())


def _check(file: Path, parquet: pq.ParquetFile) -> None:
    if lacking := set(SCHEMA.names) - set(parquet.schema_arrow.names):
        raise CorpusError(
            f"{file}: expected a labelled corpus, and column {min(lacking)!r} is missing; run pseudo_label."
        )


def _unreadable(file: Path, error: Exception) -> CorpusError:
    return CorpusError(f"{file}: expected a parquet shard, and it cannot be read ({error}).")


def _clip(row: dict[str, Any]) -> Clip:
    return Clip(
        id=row["id"],
        pcm=np.frombuffer(row["audio"], dtype="<i2").copy(),  # writable: torch warns of others
        text=row["pseudo_text"],
        speaker=row["speaker"] or "",
        language=row["language"],
        words=tuple(Word(w["text"], w["start_s"], w["end_s"]) for w in row["words"]),
    )
