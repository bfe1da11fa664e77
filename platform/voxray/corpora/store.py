"""Clips on a local disk for training: one file of int16 samples, one parquet table of what they say.

    store/audio.s16      all clips' samples, one after another, memory-mapped by readers
    store/clips.parquet  one row per clip, in the order of the samples

A store appears whole or not at all: it is written beside its place and renamed into it.
"""

import shutil
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from voxray.audio import SAMPLE_RATE, Pcm
from voxray.errors import CorpusError
from voxray.transcript import Segment, Word

_WORD = pa.struct([("text", pa.string()), ("start_s", pa.float32()), ("end_s", pa.float32())])
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("samples", pa.int64()),
        ("text", pa.string()),
        ("speaker", pa.string()),
        ("language", pa.string()),
        ("words", pa.list_(_WORD)),
    ]
)


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance. `words` are empty where their times are not known; `speaker` is empty where unknown."""

    id: str
    pcm: Pcm = field(repr=False)
    text: str
    speaker: str = ""
    language: str = "en"
    words: tuple[Word, ...] = ()
    segments: tuple[Segment, ...] = ()
    previous: str = ""
    task: Literal["transcribe", "translate"] = "transcribe"

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.pcm) / SAMPLE_RATE


def write_store(folder: Path, clips: Iterable[Clip]) -> "ClipStore":
    """Write `clips` to `folder`, replacing what was there once all of them are down."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    with (part / "audio.s16").open("wb") as audio:
        for clip in clips:
            audio.write(np.ascontiguousarray(clip.pcm, dtype="<i2").tobytes())
            rows.append(_row(clip))
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), part / "clips.parquet")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return ClipStore([folder])


def _row(clip: Clip) -> dict[str, Any]:
    words = [{"text": w.text, "start_s": w.start_s, "end_s": w.end_s} for w in clip.words]
    return {
        "id": clip.id,
        "samples": len(clip.pcm),
        "text": clip.text,
        "speaker": clip.speaker,
        "language": clip.language,
        "words": words,
    }


class ClipStore(Sequence[Clip]):
    """The clips of one or more store folders, in order; samples are read when a clip is."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._parts = [_Part(folder) for folder in folders]
        self._ends = list(accumulate(len(p.rows) for p in self._parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        part, row = self._find(index)
        return part.clip(row)

    def samples(self, index: int) -> int:
        """Length of clip `index` in samples, without reading them."""
        part, row = self._find(index)
        return int(part.rows[row]["samples"])

    def _find(self, index: int) -> tuple["_Part", int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        index %= len(self)
        k = bisect_right(self._ends, index)
        return self._parts[k], index - (self._ends[k - 1] if k else 0)


class _Part:
    def __init__(self, folder: Path) -> None:
        try:
            self.rows: list[dict[str, Any]] = pq.read_table(folder / "clips.parquet").to_pylist()
            self.pcm = _mapped(folder / "audio.s16")
        except (OSError, ValueError, pa.ArrowInvalid) as e:
            raise CorpusError(f"{folder}: expected a clip store (audio.s16, clips.parquet); {e}.") from e
        self.offsets = [0, *accumulate(int(row["samples"]) for row in self.rows)]

    def clip(self, row: int) -> Clip:
        values = self.rows[row]
        return Clip(
            id=values["id"],
            pcm=np.array(self.pcm[self.offsets[row] : self.offsets[row + 1]]),
            text=values["text"],
            speaker=values["speaker"],
            language=values["language"],
            words=tuple(Word(w["text"], w["start_s"], w["end_s"]) for w in values["words"]),
        )


def _mapped(file: Path) -> Pcm:
    """The samples of `file`; of a store without clips none, as an empty file cannot be mapped."""
    if not file.stat().st_size:
        return np.zeros(0, dtype="<i2")
    return np.memmap(file, dtype="<i2", mode="r")
