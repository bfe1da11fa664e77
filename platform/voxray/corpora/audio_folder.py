"""Audio folders: `<uid>.<ext>` beside `<uid>.txt`, and `train|dev|test_files.csv` where the splits are given.

A csv has the columns `uid,file_name,text`, and may have `speaker` and `language`. Without any csv, every
audio file in the folder and below is a clip, and the splits follow from a hash of the uid.
"""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from voxray.audio import EXTENSIONS
from voxray.corpora import places
from voxray.corpora.columns import DEFAULT, Columns
from voxray.corpora.items import Item, Listing, Rejected
from voxray.corpora.splits import check_split, split_key, split_of
from voxray.errors import CorpusError

_CSV = "_files.csv"
_NAMES = {"id": "uid", "audio": "file_name", "text": "text"}
_BESIDE = frozenset({"", ".txt", ".csv", ".tsv", ".json", ".jsonl", ".md", ".html", ".yaml", ".pdf"})
"""Extensions that are no audio and are left out without being rejected."""


def list_folder(folder: str, columns: Columns = DEFAULT) -> Listing:
    """List the clips of `folder`, an absolute path or URL; raise CorpusError where it holds none.

    `columns` are those of its csv files.
    """
    names = places.list_names(folder)
    tables = [n for n in names if n.endswith(_CSV) and "/" not in n]
    nested = [n for n in names if n.endswith(_CSV) and "/" in n]
    if nested and not tables:
        raise CorpusError(
            f"{folder}: expected one corpus, got several in subfolders ({nested[0]}); name one of them."
        )
    if tables:
        entries = [e for table in tables for e in _of_table(folder, table, frozenset(names), columns)]
    else:
        entries = list(_of_names(folder, names))
    if not entries:
        raise CorpusError(f"{folder}: expected audio files (wav, flac, mp3, ogg, ...), got none.")
    return Listing.of(entries)


def _of_table(folder: str, table: str, names: frozenset[str], columns: Columns) -> Iterator[Item | Rejected]:
    where = places.join(folder, table)
    split = check_split(table.removesuffix(_CSV), where)
    for number, row in enumerate(_rows(where, columns), start=2):
        yield _of_row(folder, where, split, number, row, names)


def _rows(where: str, columns: Columns) -> list[dict[str, str]]:
    try:
        reader = csv.DictReader(places.read_text(where).splitlines())
        header = dict.fromkeys(reader.fieldnames or (), "")
        if missing := {"uid", "file_name"} - set(columns.mapped(header, where, **_NAMES)):
            raise CorpusError(
                f"{where}: expected the columns uid,file_name,text, got none called {min(missing)!r}; "
                "name the columns with id_column, audio_column and text_column."
            )
        return [columns.mapped(row, where, **_NAMES) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise CorpusError(f"{where}: expected a csv file in UTF-8, got one that cannot be read ({e}).") from e


def _of_row(
    folder: str, where: str, split: str, number: int, row: dict[str, str], names: frozenset[str]
) -> Item | Rejected:
    uid, name = row["uid"] or "", row["file_name"] or ""
    source = places.join(folder, name)
    if not uid or not name:
        return Rejected(
            uid or f"line {number}", where, f"line {number}: expected a uid and a file_name.", split
        )
    if name not in names:
        return Rejected(uid, source, f"{where} line {number} names {name}, but there is no such file.", split)
    text = row.get("text")
    if text is None and (beside := str(PurePosixPath(name).with_suffix(".txt"))) in names:
        return _with_text(folder, beside, Item(uid, source, split, recording=uid))
    return Item(
        id=uid,
        source=source,
        split=split,
        text=text,
        language=row.get("language") or None,
        speaker=row.get("speaker") or "",
        recording=uid,
    )


def _of_names(folder: str, names: list[str]) -> Iterator[Item | Rejected]:
    audio = {n for n in names if _suffix(n) in EXTENSIONS}
    texts = {n for n in names if _suffix(n) == ".txt"}
    with_audio = {_uid(n) for n in audio}
    for name in sorted(audio | texts):
        uid, source = _uid(name), places.join(folder, name)
        item = Item(uid, source, split_of(split_key("", uid, uid)), recording=uid)
        if name in audio:
            beside = f"{uid}.txt"
            yield _with_text(folder, beside, item) if beside in texts else item
        elif uid not in with_audio:
            yield Rejected(uid, source, f"{source}: expected audio beside this text, got none.")
    for name in names:
        if name not in audio and _suffix(name) not in _BESIDE:
            source = places.join(folder, name)
            yield Rejected(
                name, source, f"{source}: expected audio, got {_suffix(name)}, which is none of its formats."
            )


def _with_text(folder: str, name: str, item: Item) -> Item | Rejected:
    where = places.join(folder, name)
    try:
        return replace(item, text=places.read_text(where).strip())
    except (OSError, UnicodeDecodeError) as e:
        return Rejected(item.id, where, f"{where}: expected a text in UTF-8 ({e}).", item.split)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _uid(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
