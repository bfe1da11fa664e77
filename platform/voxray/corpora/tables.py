"""Tables that hold their audio: parquet files, Arrow files, and what `datasets` saves with save_to_disk.

A row is a clip. Its audio is a column of bytes, of Hugging Face's Audio (a struct of bytes and path), or of
paths relative to the table, then with `offset` and `duration` (seconds) as in NeMo's manifests; its text and
the rest have the names that manifests.py reads. The split is a column of that name, else a word of the file's
name or folder, as in `data/train-00000-of-00002.parquet`, else the hash of the speaker or clip. Listing reads
no audio; embedded.py does, clip by clip.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from voxray.corpora import places
from voxray.corpora.columns import DEFAULT, Columns
from voxray.corpora.embedded import cell_source, map_arrow, open_parquet, reading
from voxray.corpora.items import Item, Listing, Rejected, with_own_ids
from voxray.corpora.manifests import ENTRY_KEYS, TEXT_KEYS, parse_entry, resolve_path
from voxray.corpora.splits import split_in_name
from voxray.errors import CorpusError

_STATE = "state.json"
_AUDIO_KEYS = ("audio", "audio_filepath", "file_name")
_TIME_KEYS = frozenset({"offset", "duration"})
_BATCH_ROWS = 1024
_PATH_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES_TYPES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)


def list_tables(files: Mapping[str, str], columns: Columns = DEFAULT) -> Listing:
    """List the rows of tables, given by name in the corpus (of which ids and splits are made) and by place.

    An id is that of its column (`id_column`, or `id` where its values all differ), else NAME/ROW. A table
    that cannot be read is one rejected entry.
    """
    entries = (e for name, file in files.items() for e in _entries(name, file, columns))
    return with_own_ids(entries, always=columns.id_column is not None)


def saved_tables(folder: str, arrow: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Return the tables of a dataset that save_to_disk wrote to `folder`, or of one for each split, by name.

    `names` are the files of the folder, `arrow` those of Arrow; files that the dataset does not name are left
    out. There are none where the folder holds no such dataset. Raises CorpusError where its index cannot be
    read.
    """
    parents = dict.fromkeys(PurePosixPath(name).parent for name in arrow)
    states = [str(parent / _STATE) for parent in parents if str(parent / _STATE) in set(names)]
    return {name: place for state in states for name, place in _data_files(folder, state)}


def read_rows(file: str, keys: Iterable[str]) -> list[dict[str, Any]]:
    """Read those of the columns `keys` that a table has; raise CorpusError where it cannot be read."""
    with reading(file):
        table = _open(file)
        return list(_rows(table, [name for name in table.schema.names if name in set(keys)]))


def entry_keys(columns: Columns) -> frozenset[str]:
    """Return the columns that are read beside the audio, which `columns` may call otherwise."""
    texts = frozenset(TEXT_KEYS) if columns.text_column else frozenset()
    return (ENTRY_KEYS - texts) | {name for name in (columns.id_column, columns.text_column) if name}


def _data_files(folder: str, state: str) -> Iterator[tuple[str, str]]:
    where, parent = places.join(folder, state), PurePosixPath(state).parent
    try:
        values = json.loads(places.read_text(where))
        files = [str(parent / str(file["filename"])) for file in values["_data_files"]]
        split = str(values.get("_split") or "")
    except (OSError, ValueError, TypeError, LookupError) as e:
        raise CorpusError(f"{where}: expected the files of a saved dataset, got {e!r}; save it again.") from e
    for file in files:
        yield (str(PurePosixPath(split) / file) if str(parent) == "." else file), places.join(folder, file)


@dataclass(frozen=True)
class _Table:
    schema: pa.Schema
    batches: Callable[[list[str]], Iterable[pa.RecordBatch]]


def _open(file: str) -> _Table:
    if file.lower().endswith(".parquet"):
        parquet = open_parquet(file)
        return _Table(parquet.schema_arrow, lambda names: parquet.iter_batches(_BATCH_ROWS, columns=names))
    arrow = map_arrow(file)
    return _Table(arrow.schema, lambda names: arrow.select(names).to_batches(_BATCH_ROWS))


def _rows(table: _Table, names: list[str]) -> Iterator[dict[str, Any]]:
    classes = {key: value for key, value in _class_names(table.schema).items() if key in names}
    for batch in table.batches(names):
        columns = batch.to_pydict()
        for key, labels in classes.items():
            columns[key] = [
                labels[k] if k is not None and 0 <= k < len(labels) else None for k in columns[key]
            ]
        for row in range(batch.num_rows):
            yield {key: values[row] for key, values in columns.items()}


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names of the columns of Hugging Face's ClassLabel, which hold numbers."""
    described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = (described.get("info") or {}).get("features") or {}
    return {key: f["names"] for key, f in features.items() if isinstance(f, dict) and f.get("names")}


def _entries(name: str, file: str, columns: Columns) -> Iterator[tuple[Item | Rejected, str | None]]:
    split = split_in_name(name)
    try:
        with reading(file):
            yield from _entries_of(
                _open(file), str(PurePosixPath(name).with_suffix("")), file, split, columns
            )
    except CorpusError as e:
        yield Rejected(name, file, str(e), split), None


def _entries_of(
    table: _Table, stem: str, file: str, split: str | None, columns: Columns
) -> Iterator[tuple[Item | Rejected, str | None]]:
    audio, embedded = _audio_column(table.schema, columns, file)
    wanted = entry_keys(columns) | (frozenset() if embedded else _TIME_KEYS | {audio})
    for number, row in enumerate(_rows(table, [n for n in table.schema.names if n in wanted])):
        where, id = f"{file} row {number}", f"{stem}/{number}"
        record = columns.mapped(
            {**row, audio: row.get(audio)}, where, id="id", audio=audio, text=TEXT_KEYS[0]
        )
        own = record.get("id")
        source = cell_source(file, audio, number) if embedded else None
        try:
            yield _item(record, audio, source, file, id, where, split), None if own is None else str(own)
        except CorpusError as e:
            yield Rejected(id, file, str(e), split), None


def _item(
    record: dict[str, Any], audio: str, source: str | None, file: str, id: str, where: str, split: str | None
) -> Item:
    path = record.pop(audio, None)
    if source is not None:
        return parse_entry({**record, "id": id, "file_name": source}, where).item(source, id, where, split)
    key = "audio_filepath" if record.get("offset") is not None else "file_name"
    entry = parse_entry({**record, "id": id, key: path}, where)
    recording = str(PurePosixPath(entry.audio.path).with_suffix(""))
    return entry.item(resolve_path(entry.audio.path, file, where), recording, where, split)


def _audio_column(schema: pa.Schema, columns: Columns, file: str) -> tuple[str, bool]:
    """Return the column of the audio, and whether that holds the audio itself instead of paths.

    Raises CorpusError where a column that is asked for, or one of audio, is missing.
    """
    columns.mapped(dict.fromkeys(schema.names), file, id="id", audio="audio", text="text")
    if "pseudo_text" in schema.names:
        raise CorpusError(f"{file}: expected a corpus, got labels; distil and sweep read them (labelled=).")
    structs = [f.name for f in schema if pa.types.is_struct(f.type) and "bytes" in {g.name for g in f.type}]
    named = [key for key in _AUDIO_KEYS if key in schema.names]
    candidates = [columns.audio_column] if columns.audio_column else named or structs
    if not candidates or (not named and len(candidates) > 1):
        raise CorpusError(
            f"{file}: expected one column of audio ({', '.join(_AUDIO_KEYS)}), got the columns "
            f"{', '.join(schema.names)}; name it with audio_column."
        )
    name, kind = candidates[0], schema.field(candidates[0]).type
    if name in structs or any(holds(kind) for holds in _BYTES_TYPES):
        return name, True
    if not any(holds(kind) for holds in _PATH_TYPES):
        raise CorpusError(
            f"{file}: expected audio files in the column {name!r}, as bytes, structs of bytes and path, or "
            f"paths, got {kind}."
        )
    return name, False
