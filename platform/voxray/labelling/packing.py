"""Packing: clips of one speaker and language joined, in order, into windows of at most 30 s.

Training on packed windows teaches timestamps and long context (Distil-Whisper packs the same way). Clips are
filtered before. Streaming: one open pack per speaker, language and task.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from voxray.audio import SAMPLE_RATE, WINDOW_SAMPLES
from voxray.config import Config
from voxray.corpora.store import Clip
from voxray.transcript import Segment, Word
from voxray.writing_systems import join_texts


class PackingOptions(Config):
    """How clips are joined."""

    gap_s: float = 0.2
    """Seconds of silence between two clips."""
    max_samples: int = WINDOW_SAMPLES
    """The most samples of a pack, inclusive."""


def pack(
    clips: Iterable[Clip], options: PackingOptions, fits: Callable[[str], bool] = lambda text: True
) -> Iterator[Clip]:
    """Yield packs of `clips`, each clip in exactly one, whose texts fit.

    Clips without a known speaker ("") count as one speaker's; a clip longer than the limit stays alone.
    """
    gap = round(options.gap_s * SAMPLE_RATE)
    waiting: dict[tuple[str, str, str], list[Clip]] = {}
    for clip in clips:
        group = waiting.setdefault((clip.speaker, clip.language, clip.task), [])
        full = _samples([*group, clip], gap) > options.max_samples
        if group and (full or not fits(join_texts(c.text for c in (*group, clip)))):
            yield join(group, gap)
            group.clear()
        group.append(clip)
    yield from (join(group, gap) for group in waiting.values())


def join(group: Sequence[Clip], gap: int) -> Clip:
    """Return `group` as one clip, named after its first, with `gap` samples of silence between neighbours.

    It has a segment for each of theirs; a clip without segments counts as one.
    """
    first = group[0]
    if len(group) == 1:
        return first
    starts = [_samples(group[: k + 1], gap) - len(clip.pcm) for k, clip in enumerate(group)]
    pcm = np.zeros(_samples(group, gap), dtype=np.int16)
    for start, clip in zip(starts, group, strict=True):
        pcm[start : start + len(clip.pcm)] = clip.pcm
    placed = [(clip, start / SAMPLE_RATE) for clip, start in zip(group, starts, strict=True)]
    return replace(
        first,
        pcm=pcm,
        text=join_texts(clip.text for clip in group),
        words=_joined_words(placed),
        segments=tuple(
            Segment(s.start_s + at_s, s.end_s + at_s, s.text)
            for clip, at_s in placed
            for s in clip.segments or _whole(clip)
        ),
    )


def _joined_words(placed: Sequence[tuple[Clip, float]]) -> tuple[Word, ...]:
    """Return all words, or none where one clip's are not known: half of them would cut the wrong text."""
    if any(clip.text and not clip.words for clip, _ in placed):
        return ()
    return tuple(
        replace(w, start_s=w.start_s + at_s, end_s=w.end_s + at_s)
        for clip, at_s in placed
        for w in clip.words
    )


def _whole(clip: Clip) -> tuple[Segment, ...]:
    if not clip.text:
        return ()
    if clip.words:
        return (Segment(clip.words[0].start_s, clip.words[-1].end_s, clip.text),)
    return (Segment(0.0, clip.duration_s, clip.text),)


def _samples(group: Sequence[Clip], gap: int) -> int:
    return sum(len(clip.pcm) for clip in group) + gap * (len(group) - 1)
