"""Audio folders: audio beside its texts, or tables of both.

Tables are `train|dev|test_files.csv` with the columns `uid,file_name,text`, or, as Hugging Face's AudioFolder
has them, `metadata.csv`, `.tsv` or `.jsonl` in the folder or below, with `file_name` and a text (keys as in
manifests.py). Without any, every audio file in the folder and below is a clip, `<uid>.txt` beside it is its
text, and the splits follow from a hash of the uid. Names are compared in their composed form (NFC).
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Any

from voxray.audio import EXTENSIONS
from voxray.corpora import places
from voxray.corpora.columns import DEFAULT, Columns
from voxray.corpora.items import Item, Listing, Rejected
from voxray.corpora.manifests import numbered_lines, parse_entry
from voxray.corpora.splits import check_split, split_in_path, split_key, split_of
from voxray.corpora.tables import entry_keys, read_rows
from voxray.errors import ConfigError, CorpusError
from voxray.languages import language_of
from voxray.text import spaced

_CSV = "_files.csv"
_METADATA = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")
_TABLES = frozenset({".csv", ".tsv", ".jsonl", ".parquet"})
_NAMES = {"id": "uid", "audio": "file_name", "text": "text"}
_BESIDE = frozenset({"", ".txt", ".json", ".md", ".html", ".yaml", ".pdf"})
"""Extensions that are no audio and are left out without being rejected."""

Names = Mapping[str, str]
"""The files of a folder: composed names to names as they are stored."""


def list_folder(folder: str, columns: Columns = DEFAULT) -> Listing:
    """List the clips of `folder`, an absolute path or URL; raise CorpusError where it holds none.

    `columns` are those of its tables.
    """
    names = {places.composed(name): name for name in places.list_names(folder)}
    tables = [n for n in names if n.endswith(_CSV) and "/" not in n]
    metadata = [n for n in names if PurePosixPath(n).name in _METADATA]
    _check_tables(folder, names, tables or metadata)
    if tables:
        entries = [e for table in tables for e in _of_table(folder, table, names, columns)]
    else:
        entries = [e for table in metadata for e in _of_metadata(folder, table, names, columns)]
    if tables or metadata:
        entries += _unlisted(folder, names, entries)
    else:
        entries = list(_of_names(folder, names))
    if not entries:
        raise CorpusError(f"{folder}: expected audio files (wav, flac, mp3, ogg, ...), got none.")
    return Listing.of([*entries, *_unread_tables(folder, names, tables or metadata)])


def has_tables(names: Iterable[str]) -> bool:
    """Say whether one of the files `names` of a folder is a table that names its audio."""
    return any(n.endswith(_CSV) or PurePosixPath(n).name in _METADATA for n in names)


def _check_tables(folder: str, names: Names, used: list[str]) -> None:
    nested = [n for n in names if n.endswith(_CSV) and "/" in n]
    if nested and not used:
        raise CorpusError(
            f"{folder}: expected one corpus, got several in subfolders ({nested[0]}); name one of them."
        )


def _of_table(folder: str, table: str, names: Names, columns: Columns) -> Iterator[Item | Rejected]:
    where = places.join(folder, names[table])
    split = check_split(table.removesuffix(_CSV), where)
    rows = _rows(where, columns, ("uid", "file_name"))
    for number, row in ((n, columns.mapped(row, where, **_NAMES)) for n, row in rows):
        yield _of_row(folder, where, split, number, row, names)


def _rows(where: str, columns: Columns, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a table, each with the line on which it ends."""
    delimiter = "\t" if where.endswith(".tsv") else ","
    try:
        reader = csv.DictReader(io.StringIO(places.read_text(where), newline=""), delimiter=delimiter)
        header = dict.fromkeys(reader.fieldnames or (), "")
        if missing := set(needed) - set(columns.mapped(header, where, **_NAMES)):
            raise CorpusError(
                f"{where}: expected the columns {','.join(needed)},text, got none called {min(missing)!r}; "
                "name the columns with id_column, audio_column and text_column."
            )
        return [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise CorpusError(f"{where}: expected a csv file in UTF-8, got one that cannot be read ({e}).") from e


def _of_row(
    folder: str, where: str, split: str, number: int, row: dict[str, str], names: Names
) -> Item | Rejected:
    uid, name = row["uid"] or "", row["file_name"] or ""
    if not uid or not name:
        return Rejected(
            uid or f"line {number}", where, f"line {number}: expected a uid and a file_name.", split
        )
    if places.composed(name) not in names:
        return _missing(uid, where, number, name, split)
    try:
        language = language_of(row.get("language") or "")
    except ConfigError as e:
        reason = f"{where} line {number}: 'language': {e}, got {row['language']!r}."
        return Rejected(uid, where, reason, split)
    item = Item(
        id=uid,
        source=places.join(folder, names[places.composed(name)]),
        split=split,
        text=None if row.get("text") is None else spaced(row["text"]),
        language=language,
        speaker=row.get("speaker") or "",
        recording=uid,
    )
    return _with_text_beside(folder, places.composed(name), item, names)


def _of_metadata(folder: str, table: str, names: Names, columns: Columns) -> Iterator[Item | Rejected]:
    where, parent = places.join(folder, names[table]), PurePosixPath(table).parent
    for number, record in _records(where, columns):
        try:
            entry = parse_entry(record, f"{where} line {number}", columns)
            name = _name_of(str(parent / entry.audio.path), names)
            if name not in names:
                yield _missing(_uid(name), where, number, entry.audio.path, None)
                continue
            item = entry.item(places.join(folder, names[name]), _uid(name), where, split_in_path(name))
            yield _with_text_beside(folder, name, item, names)
        except CorpusError as e:
            yield Rejected(f"{table} line {number}", where, str(e))


def _records(where: str, columns: Columns) -> Sequence[tuple[int, str | Mapping[str, Any]]]:
    """Return the records of a table of metadata, each with its line, or its row from 1."""
    if where.endswith(".jsonl"):
        return numbered_lines(where)
    if where.endswith(".parquet"):
        keys = entry_keys(columns) | {columns.audio_column or _NAMES["audio"]}
        return list(enumerate(read_rows(where, keys), start=1))
    return _rows(where, columns, (_NAMES["audio"],))


def _name_of(path: str, names: Names) -> str:
    """Return the name of a file in a table, which may have been written on Windows."""
    name = places.composed(normpath(path))
    return name if name in names else normpath(name.replace("\\", "/"))


def _missing(id: str, where: str, number: int, name: str, split: str | None) -> Rejected:
    return Rejected(
        id, where, f"{where} line {number} names {name}, but there is no such file in the folder.", split
    )


def _unlisted(folder: str, names: Names, entries: list[Item | Rejected]) -> Iterator[Rejected]:
    """Yield one entry for all the audio that no table names."""
    listed = {e.source for e in entries if isinstance(e, Item)}
    left = [n for n in names if _suffix(n) in EXTENSIONS and places.join(folder, names[n]) not in listed]
    if left:
        reason = f"{folder}: got {len(left)} audio files that no table names, the first {left[0]}."
        yield Rejected("unlisted", folder, reason)


def _unread_tables(folder: str, names: Names, used: list[str]) -> Iterator[Rejected]:
    for name in names:
        if _suffix(name) in _TABLES and name not in used:
            where = places.join(folder, names[name])
            reason = f"{where}: expected metadata.csv or .jsonl (file_name and a text), got another table."
            yield Rejected(name, where, reason)


def _of_names(folder: str, names: Names) -> Iterator[Item | Rejected]:
    audio = {n for n in names if _suffix(n) in EXTENSIONS}
    texts = {n for n in names if _suffix(n) == ".txt"}
    with_audio = {_uid(n) for n in audio}
    for name in sorted(audio | texts):
        uid, source = _uid(name), places.join(folder, names[name])
        if name in audio:
            item = Item(uid, source, split_of(split_key("", uid, uid)), recording=uid)
            yield _with_text_beside(folder, name, item, names)
        elif uid not in with_audio:
            yield Rejected(uid, source, f"{source}: expected audio beside this text, got none.")
    for name in names:
        if name not in audio and _suffix(name) not in _BESIDE | _TABLES:
            source = places.join(folder, names[name])
            yield Rejected(
                name, source, f"{source}: expected audio, got {_suffix(name)}, which is none of its formats."
            )


def _with_text_beside(folder: str, name: str, item: Item, names: Names) -> Item | Rejected:
    """Return `item`, of the file `name`, with the text in the file beside it if it has none of its own."""
    beside = names.get(f"{_uid(name)}.txt")
    if item.text is not None or beside is None:
        return item
    where = places.join(folder, beside)
    try:
        return replace(item, text=spaced(places.read_text(where)))
    except (OSError, UnicodeDecodeError) as e:
        return Rejected(item.id, where, f"{where}: expected a text in UTF-8 ({e}).", item.split)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _uid(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
