"""Clips on a local disk for training: one file of int16 samples, one parquet table of texts and times.

    store/audio.s16      all clips' samples, one after another, memory-mapped by readers
    store/clips.parquet  one row per clip, in the order of the samples

A store appears whole or not at all: it is written beside its place and renamed into it. It may consist of
folders part-00000, part-00001, ..., each of which holds these two files.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from voxray.audio import SAMPLE_RATE, Pcm
from voxray.errors import CorpusError
from voxray.files import atomic_directory
from voxray.text import text_language
from voxray.transcript import Segment, Task, Word

_SPAN = [("start_s", pa.float32()), ("end_s", pa.float32())]
SEGMENT = pa.struct([*_SPAN, ("text", pa.string())])
WORD = pa.struct([("text", pa.string()), *_SPAN])
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "text", "speaker", "language", "previous", "task")),
        ("samples", pa.int64()),
        ("words", pa.list_(WORD)),
        ("segments", pa.list_(SEGMENT)),
    ]
)


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of audio of at most one window and its text; times count from its start.

    `words` and `segments` are empty where their times are not known, `speaker` where it is not. `previous` is
    the text right before this clip in its recording, empty at the start of one. With the task `translate`,
    `text` and `segments` are English, whatever the spoken `language`.
    """

    id: str
    pcm: Pcm = field(repr=False)
    text: str
    speaker: str = ""
    language: str = "en"
    words: tuple[Word, ...] = ()
    segments: tuple[Segment, ...] = ()
    previous: str = ""
    task: Task = "transcribe"

    @property
    def text_language(self) -> str:
        """The language of `text`."""
        return text_language(self.language, self.task)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.pcm) / SAMPLE_RATE


def write_store(folder: Path, clips: Iterable[Clip]) -> "ClipStore":
    """Write `clips` to `folder`, which is replaced once all of them are written."""
    rows: list[dict[str, Any]] = []
    with atomic_directory(folder) as part:
        with (part / "audio.s16").open("wb") as audio:
            for clip in clips:
                audio.write(np.ascontiguousarray(clip.pcm, dtype="<i2").tobytes())
                rows.append(_row(clip))
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), part / "clips.parquet")
    return ClipStore([folder])


def part_folder(folder: Path, number: int) -> Path:
    """Return where part `number` of a store in several parts is, which may be written side by side."""
    return folder / f"part-{number:05d}"


def _part_folders(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*")) or [folder]


def _row(clip: Clip) -> dict[str, Any]:
    return asdict(replace(clip, pcm=np.zeros(0, np.int16))) | {"samples": len(clip.pcm)}


def read_words(row: Mapping[str, Any]) -> tuple[Word, ...]:
    """Return the words of a row, of a store or of a labelled corpus."""
    return tuple(Word(w["text"], w["start_s"], w["end_s"]) for w in row["words"])


def read_segments(row: Mapping[str, Any]) -> tuple[Segment, ...]:
    """Return the segments of such a row; none where it has no such column."""
    return tuple(Segment(s["start_s"], s["end_s"], s["text"]) for s in row.get("segments") or ())


class ClipStore(Sequence[Clip]):
    """The clips of one or more store folders, in order; samples are read when a clip is."""

    def __init__(self, folders: Iterable[Path]) -> None:
        stores = [[_Part(part) for part in _part_folders(folder)] for folder in folders]
        self._parts = [part for parts in stores for part in parts]
        self.sizes = tuple(sum(len(part.rows) for part in parts) for parts in stores)
        """The number of clips in each folder."""
        self._ends = list(accumulate(len(part.rows) for part in self._parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        part, row = self._find(index)
        return part.clip(row)

    def samples(self, index: int) -> int:
        """Return the length of clip `index` in samples, without reading them."""
        part, row = self._find(index)
        return int(part.rows[row]["samples"])

    def text(self, index: int) -> str:
        """Return the text of clip `index`, without reading its samples."""
        part, row = self._find(index)
        return str(part.rows[row]["text"])

    def kind(self, index: int) -> tuple[str, str]:
        """Return the language and the task of clip `index`, without reading its samples."""
        part, row = self._find(index)
        return str(part.rows[row]["language"]), str(part.rows[row].get("task", "transcribe"))

    def ids(self) -> Iterator[str]:
        """Yield the id of each clip, without reading its samples."""
        return (str(row["id"]) for part in self._parts for row in part.rows)

    def languages(self) -> Iterator[str]:
        """Yield the language of each clip, without reading its samples."""
        return (str(row["language"]) for part in self._parts for row in part.rows)

    def _find(self, index: int) -> tuple["_Part", int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected an index below {len(self)}, got {index}")
        index %= len(self)
        k = bisect_right(self._ends, index)
        return self._parts[k], index - (self._ends[k - 1] if k else 0)


class ClipSubset(Sequence[Clip]):
    """Some clips of `clips`, in their order, without a copy of them.

    `selected` (clips, 2) says of each clip whether it is in the subset, and whether it keeps its
    previous text.
    """

    def __init__(self, clips: ClipStore, selected: NDArray[np.bool_]) -> None:
        if selected.shape != (len(clips), 2):
            raise CorpusError(
                f"expected a selection from {len(clips)} clips, got one of shape {selected.shape}; "
                "write it again."
            )
        self._clips, self._previous = clips, selected[:, 1]
        self._indices = np.flatnonzero(selected[:, 0])
        ends = np.searchsorted(self._indices, np.cumsum(clips.sizes))
        self.sizes = tuple(int(size) for size in np.diff(ends, prepend=0))
        """The number of clips of each folder of `clips`."""

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = int(self._indices[index])
        clip: Clip = self._clips[at]
        return clip if self._previous[at] else replace(clip, previous="")

    def samples(self, index: int) -> int:
        """Return the length of clip `index` in samples, without reading them."""
        return self._clips.samples(int(self._indices[index]))

    def text(self, index: int) -> str:
        """Return the text of clip `index`, without reading its samples."""
        return self._clips.text(int(self._indices[index]))

    def kind(self, index: int) -> tuple[str, str]:
        """Return the language and the task of clip `index`, without reading its samples."""
        return self._clips.kind(int(self._indices[index]))


class _Part:
    def __init__(self, folder: Path) -> None:
        try:
            self.rows: list[dict[str, Any]] = pq.read_table(folder / "clips.parquet").to_pylist()
            self.pcm = _mapped(folder / "audio.s16")
        except (OSError, ValueError, pa.ArrowInvalid) as e:
            raise CorpusError(
                f"{folder}: expected a clip store (audio.s16, clips.parquet), got {e}; write it again."
            ) from e
        self.offsets = [0, *accumulate(int(row["samples"]) for row in self.rows)]

    def clip(self, row: int) -> Clip:
        values = self.rows[row]
        return Clip(
            id=values["id"],
            pcm=np.array(self.pcm[self.offsets[row] : self.offsets[row + 1]]),
            text=values["text"],
            speaker=values["speaker"],
            language=values["language"],
            words=read_words(values),
            segments=read_segments(values),  # these three are missing from the stores of earlier versions
            previous=values.get("previous", ""),
            task=values.get("task", "transcribe"),
        )


def _mapped(file: Path) -> Pcm:
    """Map the samples of `file`; an empty file, which cannot be mapped, has none."""
    if not file.stat().st_size:
        return np.zeros(0, dtype="<i2")
    return np.memmap(file, dtype="<i2", mode="r")
