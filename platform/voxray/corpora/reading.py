"""From an item to its samples."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from voxray.audio import SAMPLE_RATE, Pcm, decode, duration_s
from voxray.corpora.embedded import read_bytes
from voxray.corpora.items import END_TOLERANCE_S, Item, Rejected
from voxray.errors import AudioError, VoxrayError


@dataclass(frozen=True, slots=True)
class DecodedItem:
    """An item and its samples."""

    item: Item
    pcm: Pcm = field(repr=False)


def read_items(items: Iterable[Item]) -> Iterator[DecodedItem | Rejected]:
    """Yield each item's samples, or why it has none; neighbours in one recording decode it once."""
    for source, group in groupby(items, key=lambda item: item.source):
        clips = list(group)
        try:
            whole = decode(read_bytes(source), name=source)
        except (VoxrayError, OSError) as e:
            yield from (Rejected(i.id, source, _reason(source, e), i.split) for i in clips)
            continue
        for item in clips:
            yield _cut(item, whole)


def _cut(item: Item, whole: Pcm) -> DecodedItem | Rejected:
    try:
        return DecodedItem(item, between(whole, item.start_s, item.end_s))
    except AudioError as e:
        return Rejected(item.id, item.source, f"{item.source}: {e}", item.split)


def between(pcm: Pcm, start_s: float | None, end_s: float | None) -> Pcm:
    """Return the samples from `start_s` to `end_s`; raise AudioError where the recording ends before."""
    lasts_s = duration_s(pcm)
    if (start_s or 0.0) >= lasts_s or (end_s or 0.0) > lasts_s + END_TOLERANCE_S:
        raise AudioError(
            f"expected audio from {start_s or 0:g} to {end_s or lasts_s:g} s, got {lasts_s:.2f} s of it."
        )
    stop = None if end_s is None else round(end_s * SAMPLE_RATE)
    return pcm[round((start_s or 0.0) * SAMPLE_RATE) : stop]


def _reason(source: str, error: Exception) -> str:
    if isinstance(error, VoxrayError):
        text = str(error)
        return text if source in text else f"{source}: {text}"
    return f"{source}: expected a file that can be read ({getattr(error, 'strerror', None) or error})."
