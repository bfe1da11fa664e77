"""JSONL manifests, one clip per line (or a JSON array of them), in any of three forms.

    {"audio": {"path", "start_time"?, "end_time"?}, "sentence"?, "language"?,
     "sentences"?: [{"start", "end", "text"}], "duration"?}
    {"audio_filepath", "text"?, "duration", "offset"?}                       (NeMo's)
    {"file_name", "transcription"?}                                          (Hugging Face's AudioFolder)

All may have `id`, `speaker`, `language`, `task` and `split`, and the text may have any of `TEXT_KEYS` for its
name; other keys are ignored. Paths are relative to the manifest. A path may be a URL only where the manifest
is at a URL of the same scheme.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from voxray.corpora import places
from voxray.corpora.columns import DEFAULT, Columns
from voxray.corpora.items import Item, Listing, Rejected
from voxray.corpora.splits import split_key, split_named, split_of
from voxray.errors import CorpusError
from voxray.languages import Language
from voxray.text import spaced
from voxray.transcript import Segment, Task
from voxray.writing_systems import join_texts

TEXT_KEYS = (
    *("sentence", "text", "transcription", "transcript", "raw_transcription", "normalized_text", "raw_text"),
    "transcription_text",
)
"""What data sets call the text of a clip; the first that is not blank counts."""
ENTRY_KEYS = frozenset({*TEXT_KEYS, "sentences", "id", "language", "locale", "lang", "speaker"}) | {
    *("speaker_id", "client_id", "task", "split")
}
"""What an entry reads beside its audio and its place in it."""
_KEYS = ENTRY_KEYS | {"uid", "audio", "audio_filepath", "file_name", "duration", "offset"}
"""The keys that are known."""
_TIMES = frozenset({"offset", "duration"})  # where NaN is an error

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


class _Audio(_Record):
    path: str = Field(min_length=1)
    start_time: Seconds | None = None
    end_time: Seconds | None = None


class _Sentence(_Record):
    start: Seconds
    end: Seconds
    text: str


class Entry(_Record):
    """One clip as a manifest or a table has it."""

    audio: _Audio
    sentence: str | None = None
    sentences: tuple[_Sentence, ...] | None = None
    id: str | None = None
    language: Language = Field(default=None, validation_alias=AliasChoices("language", "locale", "lang"))
    speaker: str | None = Field(
        default=None, validation_alias=AliasChoices("speaker", "speaker_id", "client_id")
    )
    task: Task | None = None
    split: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _first_form(cls, given: object) -> object:
        """Bring the other two forms into the first, and take the first text that is not blank."""
        if not isinstance(given, dict):
            return given
        values = {k: v for k, v in given.items() if k in _TIMES or v == v}  # NaN: what pandas has for none
        values["sentence"] = first_text(values)
        if values.get("file_name"):
            return {**values, "audio": {"path": values["file_name"]}}
        if "audio_filepath" not in values:
            return values
        offset, duration = values.get("offset"), values.get("duration")
        audio = {"path": values["audio_filepath"], "start_time": offset}
        if isinstance(duration, int | float) and isinstance(offset, int | float | None):
            audio["end_time"] = (offset or 0.0) + duration
        return {**values, "audio": audio}

    def item(self, source: str, recording: str, where: str, split: str | None = None) -> Item:
        """Return the clip in `source`; its split is its own, else `split`, else that of its hash.

        Raises CorpusError that begins with `where`.
        """
        start_s, end_s = self.audio.start_time, self.audio.end_time
        if end_s is not None and end_s <= (start_s or 0.0):
            raise CorpusError(
                f"{where}: expected an end after the start, got {start_s or 0:g} to {end_s:g} s."
            )
        id = self.id or _name(recording, start_s, end_s)
        own = split_named(self.split, where) if self.split else split
        return Item(
            id=id,
            source=source,
            split=own or split_of(split_key(self.speaker or "", recording, id)),
            text=_text(self),
            language=self.language,
            task=self.task,
            speaker=self.speaker or "",
            recording=recording,
            start_s=start_s,
            end_s=end_s,
            sentences=_segments(self),
        )


def first_text(values: Mapping[str, Any]) -> Any:
    """Return the text of a record: the first of `TEXT_KEYS` that is not blank; None where all are missing."""
    texts = [values[key] for key in TEXT_KEYS if values.get(key) is not None]
    return next((text for text in texts if str(text).strip()), texts[0] if texts else None)


def check_texts(
    entries: Iterable[Item | Rejected], keys: Iterable[str], where: str, columns: Columns
) -> Iterator[Rejected]:
    """Yield one entry for a table whose clips have no text, if it has columns under an unknown name."""
    items = [entry for entry in entries if isinstance(entry, Item)]
    if not items or columns.text_column or any(i.text is not None or i.sentences is not None for i in items):
        return
    if unknown := [key for key in dict.fromkeys(keys) if key not in _KEYS]:
        expected = f"expected a column of texts ({', '.join(TEXT_KEYS)})"
        reason = f"{where}: {expected}, got {', '.join(unknown)}; name it with text_column."
        yield Rejected("texts", where, reason)


def list_manifest(manifest: str, columns: Columns = DEFAULT) -> Listing:
    """List the clips of a manifest, an absolute path or URL; raise CorpusError where it cannot be read."""
    lines = numbered_lines(manifest)
    entries = list(_entries(lines, manifest, columns))
    return Listing.of([*check_texts(entries, keys_of(lines), manifest, columns), *entries])


def keys_of(lines: Iterable[tuple[int, str]]) -> Iterator[str]:
    """Yield the keys of the strings in the records of a manifest, each as often as it occurs."""
    for _, line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # it is told as an entry
        if isinstance(record, dict):
            yield from (key for key, value in record.items() if isinstance(value, str))


def numbered_lines(manifest: str) -> list[tuple[int, str]]:
    """Return the records of a JSONL file, numbered by line from 1, or of a JSON array, numbered from 1.

    A line ends with a line feed alone: JSON strings may hold the other characters that end lines. Raises
    CorpusError where the file cannot be read.
    """
    try:
        text = places.read_text(manifest)
        if text.lstrip().startswith("["):
            return [(number, json.dumps(record)) for number, record in enumerate(json.loads(text), start=1)]
    except (OSError, ValueError, RecursionError) as e:  # bad UTF-8 and bad JSON are ValueErrors
        raise CorpusError(f"{manifest}: expected a JSONL manifest, got one that cannot be read ({e}).") from e
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _entries(lines: Iterable[tuple[int, str]], manifest: str, columns: Columns) -> Iterator[Item | Rejected]:
    for number, line in lines:
        try:
            yield parse_line(line, manifest, number, columns)
        except CorpusError as e:
            yield Rejected(f"line {number}", manifest, str(e))


def parse_line(line: str, manifest: str, number: int = 1, columns: Columns = DEFAULT) -> Item:
    """Parse one line into its clip; raise CorpusError naming the line and what is wrong in it."""
    where = f"{manifest} line {number}"
    entry = parse_entry(line, where, columns)
    recording = str(PurePosixPath(entry.audio.path).with_suffix(""))
    return entry.item(resolve_path(entry.audio.path, manifest, where), recording, where)


def parse_entry(record: str | Mapping[str, Any], where: str, columns: Columns = DEFAULT) -> Entry:
    """Parse a line of JSON, or a row of a table, in which null and empty columns count as missing ones.

    Raises CorpusError that begins with `where` and says what is wrong.
    """
    try:
        if isinstance(record, str):
            return Entry.model_validate_json(_mapped(record, where, columns))
        values = columns.mapped(record, where, id="id", audio="file_name", text=TEXT_KEYS[0])
        return Entry.model_validate(
            {k: v for k, v in values.items() if k and (v not in (None, "") or k in TEXT_KEYS)}
        )
    except ValidationError as e:
        raise CorpusError(f"{where}: {_explain(e)}") from e


def _mapped(line: str, where: str, columns: Columns) -> str:
    """Return `line` with the keys of `columns` under the names of its form, NeMo's if its audio is a path."""
    if not columns.given:
        return line
    try:
        values = json.loads(line)
    except ValueError:
        return line  # refused by whoever parses it
    if not isinstance(values, dict):
        return line
    audio = values.get(columns.audio_column or "audio_filepath")
    nemo = isinstance(audio, str)
    names = {"audio": "audio_filepath", "text": "text"} if nemo else {"audio": "audio", "text": "sentence"}
    return json.dumps(columns.mapped(values, where, id="id", **names))


def _name(recording: str, start_s: float | None, end_s: float | None) -> str:
    if start_s is None:
        return recording
    return f"{recording}#{start_s:g}-{'' if end_s is None else format(end_s, 'g')}"


def _text(entry: Entry) -> str | None:
    if entry.sentence is None and entry.sentences is not None:
        return join_texts(spaced(s.text) for s in entry.sentences)
    return None if entry.sentence is None else spaced(entry.sentence)


def _segments(entry: Entry) -> tuple[Segment, ...] | None:
    if entry.sentences is None:
        return None
    return tuple(Segment(s.start, s.end, spaced(s.text)) for s in entry.sentences)


def resolve_path(path: str, manifest: str, where: str) -> str:
    """Return the place of `path` as `manifest` means it: relative to itself, or a URL of its own scheme.

    Raises CorpusError that begins with `where` for any other URL.
    """
    if (kind := places.scheme(path)) and kind != places.scheme(manifest):
        raise CorpusError(
            f"{where}: expected a path, got a URL ({path}); only URLs of the same kind are opened."
        )
    if kind:
        return path
    if not places.scheme(manifest):
        return places.absolute(str(PurePosixPath(manifest).parent / path))
    if path.startswith("/"):
        raise CorpusError(f"{where}: expected a path relative to its file, got {path}.")
    return places.join(manifest.rpartition("/")[0], path)


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if not key:
        return f"expected a JSON object, got text that does not parse ({first['msg']})."
    if first["type"] == "value_error":
        return f"{key!r}: {first['msg'].removeprefix('Value error, ')}, got {first['input']!r}."
    return f"{key!r}: {first['msg'].lower()}."
