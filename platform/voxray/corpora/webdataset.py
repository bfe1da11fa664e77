"""WebDataset tars: the members of one key are a clip.

A member's key is its path up to the first dot of its base name. One member of a key is audio, by its
extension; its text is in `.txt`, or in `.json` with the other keys that manifests.py reads. Other members are
left out.
Nothing is extracted to a disk: texts are read while listing, audio clip by clip (embedded.py).
"""

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from voxray.audio import EXTENSIONS
from voxray.corpora import places
from voxray.corpora.columns import DEFAULT, Columns
from voxray.corpora.embedded import member_source, reading
from voxray.corpora.items import Item, Listing, Rejected, with_own_ids
from voxray.corpora.manifests import ENTRY_KEYS, TEXT_KEYS, parse_entry
from voxray.corpora.splits import split_in_name
from voxray.errors import CorpusError

_TEXTS = ("txt", "json")


@dataclass
class _Sample:
    audio: list[str] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)


def list_tars(files: Mapping[str, str], columns: Columns = DEFAULT) -> Listing:
    """List the clips of tars, given by name in the corpus (of which ids and splits are made) and by place.

    An id is the clip's key, unless tars have one in common: then it is NAME/KEY; with `id_column`, it is that
    key of the `.json`. A tar that cannot be read, or its rest if it is cut short, is one rejected entry.
    """
    entries = (e for name, file in files.items() for e in _entries(name, file, columns))
    return with_own_ids(entries, always=columns.id_column is not None)


def _entries(name: str, file: str, columns: Columns) -> Iterator[tuple[Item | Rejected, str | None]]:
    split, stem = split_in_name(name), PurePosixPath(name).with_suffix("")
    samples: dict[str, _Sample] = {}
    failure = _collect(file, samples)
    for key, sample in samples.items():
        id = str(stem / key.lstrip("/"))
        try:
            yield _item(sample, key, id, file, split, columns)
        except CorpusError as e:
            yield Rejected(id, file, str(e), split), None
    if failure:
        yield Rejected(name, file, str(failure), split), None


def _collect(file: str, samples: dict[str, _Sample]) -> CorpusError | None:
    """Add what is whole in a tar to `samples`; return what ended that before the end of the tar."""
    key = ""
    try:
        with (
            reading(file),
            places.open_file(file) as opened,
            tarfile.open(fileobj=opened, mode="r:") as tar,
        ):
            for member in _members(file, tar, opened):
                key, extension = _key(member.name)
                if not member.isreg() or not extension:
                    continue
                if extension in _TEXTS:
                    content = tar.extractfile(member)
                    texts = samples.setdefault(key, _Sample()).texts
                    texts[extension] = content.read() if content else b""
                elif PurePosixPath(f"x.{extension}").suffix in EXTENSIONS:
                    samples.setdefault(key, _Sample()).audio.append(member.name)
    except CorpusError as e:
        samples.pop(key, None)  # its other members may be among those that are lost
        return e
    return None


def _members(file: str, tar: tarfile.TarFile, opened: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a tar; raise CorpusError where they do not end with a block of zeros.

    tarfile takes whatever is no header for the end.
    """
    yield from tar
    opened.seek(tar.offset)
    if opened.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        count = len(tar.getmembers())
        raise CorpusError(f"{file}: expected a whole tar, got one that breaks off after {count} members.")


def _key(name: str) -> tuple[str, str]:
    """Return the key and the extension of a member, "" where it has none or is hidden."""
    folder, _, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return (f"{folder}/{stem}" if folder else stem).removeprefix("./"), extension.lower() if stem else ""


def _item(
    sample: _Sample, key: str, id: str, file: str, split: str | None, columns: Columns
) -> tuple[Item, str | None]:
    where = f"{file} key {key!r}"
    audio = [a for a in sample.audio if a.lower().endswith(f".{columns.audio_column or ''}".rstrip("."))]
    if len(audio) != 1:
        got = f"{', '.join(audio or sample.audio) or 'none'}; audio_column is its extension"
        raise CorpusError(f"{where}: expected one member of audio, got {got}.")
    record = _record(sample, where, columns)
    source = member_source(file, audio[0])
    own = record.get("id", key) if columns.id_column else key
    entry = parse_entry({**record, "id": id, "file_name": source}, where)
    return entry.item(source, id, where, split), str(own)


def _record(sample: _Sample, where: str, columns: Columns) -> dict[str, Any]:
    """Return what the texts of a sample say about it, under the names of a manifest."""
    try:
        record = json.loads(sample.texts.get("json", b"{}"))
        text = sample.texts["txt"].decode("utf-8-sig") if "txt" in sample.texts else None
    except (ValueError, RecursionError) as e:
        raise CorpusError(f"{where}: expected texts in UTF-8 and JSON, got others ({e}).") from e
    if not isinstance(record, dict):
        raise CorpusError(f"{where}: expected an object in its .json, got {type(record).__name__}.")
    named = Columns(id_column=columns.id_column, text_column=columns.text_column)
    kept = {
        k: v
        for k, v in named.mapped(record, where, id="id", audio="", text=TEXT_KEYS[0]).items()
        if k in ENTRY_KEYS
    }
    return kept if text is None or columns.text_column else {**kept, TEXT_KEYS[0]: text}
