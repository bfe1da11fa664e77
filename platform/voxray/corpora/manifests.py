"""JSONL manifests, one clip per line, in either of two forms (keys that are not named here are ignored).

    {"audio": {"path", "start_time"?, "end_time"?}, "sentence"?, "language"?,
     "sentences"?: [{"start", "end", "text"}], "duration"?}
    {"audio_filepath", "text"?, "duration", "offset"?}                       (NeMo's)

Both may have `id`, `speaker`, `language`, `task` and `split`. Paths are relative to the manifest. A path may
be a URL only where the manifest is at a URL of the same scheme.
"""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from voxray.corpora import places
from voxray.corpora.columns import DEFAULT, Columns
from voxray.corpora.items import Item, Listing, Rejected
from voxray.corpora.splits import check_split, split_key, split_of
from voxray.errors import CorpusError
from voxray.text import join_texts
from voxray.transcript import Segment, Task

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Audio(_Line):
    path: str = Field(min_length=1)
    start_time: Seconds | None = None
    end_time: Seconds | None = None


class _Sentence(_Line):
    start: Seconds
    end: Seconds
    text: str


class _Entry(_Line):
    audio: _Audio
    sentence: str | None = None
    sentences: tuple[_Sentence, ...] | None = None
    id: str | None = None
    language: str | None = None
    speaker: str | None = None
    task: Task | None = None
    split: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_nemo(cls, values: object) -> object:
        if not isinstance(values, dict) or "audio_filepath" not in values:
            return values
        offset, duration = values.get("offset"), values.get("duration")
        audio = {"path": values["audio_filepath"], "start_time": offset}
        if isinstance(duration, int | float) and isinstance(offset, int | float | None):
            audio["end_time"] = (offset or 0.0) + duration
        return {**values, "audio": audio, "sentence": values.get("text")}


def list_manifest(manifest: str, columns: Columns = DEFAULT) -> Listing:
    """List the clips of a manifest, an absolute path or URL; raise CorpusError where it cannot be read."""
    try:
        lines = places.read_text(manifest).splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise CorpusError(f"{manifest}: expected a JSONL manifest, got one that cannot be read ({e}).") from e
    return Listing.of(list(_entries(lines, manifest, columns)))


def _entries(lines: list[str], manifest: str, columns: Columns) -> Iterator[Item | Rejected]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield parse_line(line, manifest, number, columns)
        except CorpusError as e:
            yield Rejected(f"line {number}", manifest, str(e))


def parse_line(line: str, manifest: str, number: int = 1, columns: Columns = DEFAULT) -> Item:
    """Parse one line into its clip; raise CorpusError naming the line and what is wrong in it."""
    where = f"{manifest} line {number}"
    try:
        entry = _Entry.model_validate_json(_mapped(line, where, columns))
    except ValidationError as e:
        raise CorpusError(f"{where}: {_explain(e)}") from e
    start_s, end_s = entry.audio.start_time, entry.audio.end_time
    if end_s is not None and end_s <= (start_s or 0.0):
        raise CorpusError(f"{where}: expected an end after the start, got {start_s or 0:g} to {end_s:g} s.")
    recording = str(PurePosixPath(entry.audio.path).with_suffix(""))
    id = entry.id or _name(recording, start_s, end_s)
    key = split_key(entry.speaker or "", recording, id)
    return Item(
        id=id,
        source=_resolve(entry.audio.path, manifest, where),
        split=check_split(entry.split, where) if entry.split else split_of(key),
        text=_text(entry),
        language=entry.language,
        task=entry.task,
        speaker=entry.speaker or "",
        recording=recording,
        start_s=start_s,
        end_s=end_s,
        sentences=_segments(entry),
    )


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


def _text(entry: _Entry) -> str | None:
    if entry.sentence is None and entry.sentences is not None:
        return join_texts((s.text.strip() for s in entry.sentences), entry.language)
    return entry.sentence


def _segments(entry: _Entry) -> tuple[Segment, ...] | None:
    if entry.sentences is None:
        return None
    return tuple(Segment(s.start, s.end, s.text.strip()) for s in entry.sentences)


def _resolve(path: str, manifest: str, where: str) -> str:
    if (kind := places.scheme(path)) and kind != places.scheme(manifest):
        raise CorpusError(
            f"{where}: expected a path, got a URL ({path}); a manifest opens only URLs of its own kind."
        )
    if kind:
        return path
    if not places.scheme(manifest):
        return places.absolute(str(PurePosixPath(manifest).parent / path))
    if path.startswith("/"):
        raise CorpusError(f"{where}: expected a path relative to the manifest, got {path}.")
    return places.join(manifest.rpartition("/")[0], path)


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if not key:
        return f"expected a JSON object, got text that does not parse ({first['msg']})."
    return f"{key!r}: {first['msg'].lower()}."
