"""Packing: clips of one speaker and language joined, in order, into windows of at most 30 s.

Training on packed windows teaches timestamps and long context (Distil-Whisper packs the same way). Clips are
filtered before. Streaming: one open pack per speaker and language.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from voxray.audio import SAMPLE_RATE, WINDOW_SAMPLES
from voxray.config import Config
from voxray.corpora.store import Clip
from voxray.text import by_character
from voxray.transcript import Segment, Word


class PackingOptions(Config):
    """How clips are joined."""

    gap_s: float = 0.2  # silence between two clips
    max_samples: int = WINDOW_SAMPLES  # inclusive: a pack of exactly 30 s is allowed


@dataclass(frozen=True, slots=True)
class Utterance:
    """A clip and its segments; a pack is one too. Times count from the clip's start."""

    clip: Clip
    segments: tuple[Segment, ...] = ()


def pack(utterances: Iterable[Utterance], options: PackingOptions) -> Iterator[Utterance]:
    """Packs of `utterances`, each in exactly one.

    Clips without a known speaker ("") count as one speaker's; a clip longer than the limit stays alone.
    """
    gap = round(options.gap_s * SAMPLE_RATE)
    waiting: dict[tuple[str, str], list[Utterance]] = {}
    for utterance in utterances:
        group = waiting.setdefault((utterance.clip.speaker, utterance.clip.language), [])
        if group and _samples([*group, utterance], gap) > options.max_samples:
            yield join(group, gap)
            group.clear()
        group.append(utterance)
    yield from (join(group, gap) for group in waiting.values())


def join(group: Sequence[Utterance], gap: int) -> Utterance:
    """One utterance of `group`, named after its first, with `gap` samples of silence between neighbours."""
    clips = [u.clip for u in group]
    space = "" if by_character(clips[0].language) else " "
    pcm, at_s = [clips[0].pcm], [0.0]
    for clip in clips[1:]:
        pcm.append(np.zeros(gap, dtype=np.int16))
        at_s.append(sum(map(len, pcm)) / SAMPLE_RATE)
        pcm.append(clip.pcm)
    joined = replace(
        clips[0],
        pcm=np.concatenate(pcm),
        text=space.join(c.text for c in clips if c.text),
        words=_joined_words(clips, at_s),
    )
    segments = (s for u, start in zip(group, at_s, strict=True) for s in shift_segments(u.segments, start))
    return Utterance(joined, tuple(segments))


def shift_words(words: Iterable[Word], by_s: float) -> tuple[Word, ...]:
    """`words` later by `by_s` seconds."""
    return tuple(replace(w, start_s=w.start_s + by_s, end_s=w.end_s + by_s) for w in words)


def shift_segments(segments: Iterable[Segment], by_s: float) -> tuple[Segment, ...]:
    """`segments`, and their words, later by `by_s` seconds."""
    return tuple(
        replace(s, start_s=s.start_s + by_s, end_s=s.end_s + by_s, words=shift_words(s.words, by_s))
        for s in segments
    )


def _joined_words(clips: Sequence[Clip], at_s: Sequence[float]) -> tuple[Word, ...]:
    """All words, or none where one clip's are not known: half-known times would cut the wrong text."""
    if any(c.text and not c.words for c in clips):
        return ()
    return tuple(w for c, start in zip(clips, at_s, strict=True) for w in shift_words(c.words, start))


def _samples(group: Sequence[Utterance], gap: int) -> int:
    return sum(len(u.clip.pcm) for u in group) + gap * (len(group) - 1)
