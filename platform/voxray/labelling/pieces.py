"""What goes from stage to stage: tables of items, of pieces (clips ready for an engine), and of labels."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from voxray.audio import SAMPLE_RATE, Pcm
from voxray.corpora.items import Item
from voxray.corpora.labelled import CLIP_FIELDS, LABEL_FIELDS
from voxray.text import ErrorCounts
from voxray.transcript import Segment, Word

_SENTENCE = pa.struct([("start_s", pa.float64()), ("end_s", pa.float64()), ("text", pa.string())])
ITEM_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "source", "split", "text", "language", "task", "speaker")),
        ("recording", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("sentences", pa.list_(_SENTENCE)),
    ]
)
_PLACE_FIELDS = [
    ("item", pa.string()),  # what the piece was cut from
    ("parts", pa.int32()),  # how many pieces that became: it is done when all of them have arrived
    ("source", pa.string()),
    ("reason", pa.string()),  # why the piece was rejected, else null
]
PIECE_SCHEMA = pa.schema([*_PLACE_FIELDS, *CLIP_FIELDS])
LABEL_SCHEMA = pa.schema([*_PLACE_FIELDS, *CLIP_FIELDS, *LABEL_FIELDS])


@dataclass(frozen=True, slots=True)
class Piece:
    """A clip of at most 30 s to be labelled, or, with a `reason`, one that is rejected.

    `audio` is PCM16 little-endian at 16 kHz; `start_s` and `end_s` are its place in the recording.
    """

    item: str
    parts: int
    source: str
    id: str
    audio: bytes = field(repr=False)
    split: str
    recording: str
    text: str | None = None
    language: str | None = None
    task: str | None = None
    speaker: str = ""
    start_s: float = 0.0
    end_s: float = 0.0
    no_speech: bool = False
    reason: str | None = None

    @property
    def pcm(self) -> Pcm:
        """The samples, int16 at 16 kHz."""
        return np.frombuffer(self.audio, dtype="<i2").astype(np.int16, copy=False)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.audio) / 2 / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of one clip, and how they compare with its reference.

    The fields are those of LABEL_FIELDS; `counts` holds four of them.
    """

    pseudo_text: str
    segments: tuple[Segment, ...]
    words: tuple[Word, ...]
    wer: float | None
    cer: float | None
    counts: ErrorCounts | None
    avg_logprob: float
    no_speech_prob: float | None
    compression_ratio: float
    chars_per_s: float


def item_table(items: Iterable[Item]) -> pa.Table:
    """Write `items` as rows."""
    return pa.Table.from_pylist([asdict(i) for i in items], schema=ITEM_SCHEMA)


def items_of(table: pa.Table) -> list[Item]:
    """Read the items of `item_table`."""
    return [_item(row) for row in table.to_pylist()]


def piece_table(pieces: Iterable[Piece]) -> pa.Table:
    """Write `pieces` as rows."""
    rows = [asdict(p) | {"duration_s": p.duration_s} for p in pieces]
    return pa.Table.from_pylist(rows, schema=PIECE_SCHEMA)


def pieces_of(table: pa.Table) -> list[Piece]:
    """Read the pieces of `piece_table`."""
    columns = [name for name in PIECE_SCHEMA.names if name != "duration_s"]
    return [Piece(**row) for row in table.select(columns).to_pylist()]


def label_table(pieces: Sequence[Piece], labels: Sequence[Labels | None]) -> pa.Table:
    """Write `pieces` with their labels beside them, None where a piece was rejected."""
    rows = [
        asdict(piece) | {"duration_s": piece.duration_s} | (_flat(label) if label else {})
        for piece, label in zip(pieces, labels, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=LABEL_SCHEMA)


def _flat(labels: Labels) -> dict[str, Any]:
    values = asdict(labels)
    return values | (values.pop("counts") or {})


def _item(row: dict[str, Any]) -> Item:
    sentences = row.pop("sentences")
    return Item(**row, sentences=None if sentences is None else tuple(Segment(**s) for s in sentences))
