"""Audio folders: audio beside its texts, or tables of both.

Tables are `train|dev|test_files.csv` with the columns `uid`, `file_name` and a text, or, as Hugging Face's
AudioFolder has them, `metadata.csv`, `.tsv` or `.jsonl` in the folder or below, with `file_name` and a text
(keys as in manifests.py). Without any, every audio file in the folder and below is a clip, `<uid>.txt` beside
it is its text, and the splits follow from a hash of the uid. Names are compared in their composed form (NFC).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Any

from voxray.audio import EXTENSIONS
from voxray.corpora import places
from voxray.corpora.columns import DEFAULT, Columns
from voxray.corpora.delimited import Row, read_table
from voxray.corpora.items import Item, Listing, Rejected
from voxray.corpora.manifests import check_texts, first_text, keys_of, numbered_lines, parse_entry
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
    names = {_composed(name): name for name in places.list_names(folder)}
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


def _of_table(folder: str, table: str, names: Names, columns: Columns) -> list[Item | Rejected]:
    where = places.join(folder, names[table])
    split = check_split(table.removesuffix(_CSV), where)
    keys, rows = _rows(where, columns, ("uid", "file_name"))
    entries = [_of_row(folder, where, split, row, names, columns) for row in rows]
    return [*check_texts(entries, keys, where, columns), *entries]


def _rows(where: str, columns: Columns, needed: tuple[str, ...]) -> tuple[list[str], list[Row]]:
    """Return the columns and rows of a table; raise CorpusError where it lacks one that is needed."""
    keys, rows = read_table(where)
    if missing := set(needed) - set(columns.mapped(dict.fromkeys(keys), where, **_NAMES)):
        raise CorpusError(
            f"{where}: expected the columns {','.join(needed)},text, got none called {min(missing)!r}; "
            "name the columns with id_column, audio_column and text_column."
        )
    return keys, rows


def _of_row(folder: str, where: str, split: str, row: Row, names: Names, columns: Columns) -> Item | Rejected:
    if row.fault:
        return Rejected(f"line {row.line}", where, f"{where} line {row.line}: {row.fault}", split)
    values = columns.mapped(row.values, where, **_NAMES)
    uid, name = values["uid"] or "", values["file_name"] or ""
    if not uid or not name:
        reason = f"{where} line {row.line}: expected a uid and a file_name."
        return Rejected(uid or f"line {row.line}", where, reason, split)
    if places.composed(name) not in names:
        return _missing(uid, where, row.line, name, split)
    try:
        language = language_of(values.get("language") or "")
    except ConfigError as e:
        reason = f"{where} line {row.line}: 'language': {e}, got {values['language']!r}."
        return Rejected(uid, where, reason, split)
    text = first_text(values)
    item = Item(
        id=uid,
        source=places.join(folder, names[places.composed(name)]),
        split=split,
        text=None if text is None else spaced(text),
        language=language,
        speaker=values.get("speaker") or "",
        recording=uid,
    )
    return _with_text_beside(folder, places.composed(name), item, names)


def _of_metadata(folder: str, table: str, names: Names, columns: Columns) -> list[Item | Rejected]:
    where = places.join(folder, names[table])
    if table.endswith(".jsonl"):
        lines = numbered_lines(where)
        keys = list(keys_of(lines))
        entries = [_of_record(folder, table, n, line, names, columns) for n, line in lines]
    elif table.endswith(".parquet"):
        wanted = entry_keys(columns) | {columns.audio_column or _NAMES["audio"]}
        records = list(read_rows(where, wanted))
        keys = list(records[0]) if records else []
        entries = [_of_record(folder, table, n, r, names, columns) for n, r in enumerate(records, start=1)]
    else:
        keys, rows = _rows(where, columns, ("file_name",))
        entries = [_of_record(folder, table, r.line, r.values, names, columns) for r in rows if not r.fault]
        for row in (r for r in rows if r.fault):
            reason = f"{where} line {row.line}: {row.fault}"
            entries.append(Rejected(f"{table} line {row.line}", where, reason))
    return [*check_texts(entries, keys, where, columns), *entries]


def _of_record(
    folder: str,
    table: str,
    number: int,
    record: str | Mapping[str, Any],
    names: Names,
    columns: Columns,
) -> Item | Rejected:
    where, parent = places.join(folder, names[table]), PurePosixPath(table).parent
    try:
        entry = parse_entry(record, f"{where} line {number}", columns)
        name = _name_of(str(parent / entry.audio.path), names)
        if name not in names:
            return _missing(_uid(name), where, number, entry.audio.path, None)
        item = entry.item(places.join(folder, names[name]), _uid(name), where, split_in_path(name))
    except CorpusError as e:
        return Rejected(f"{table} line {number}", where, str(e))
    return _with_text_beside(folder, name, item, names)


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


def _composed(name: str) -> str:
    """Return the name under which a file is looked for: that of a text has its suffix in lower case."""
    name = places.composed(name)
    return f"{_uid(name)}.txt" if _suffix(name) == ".txt" else name


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _uid(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
