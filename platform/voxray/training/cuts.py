"""Clips cut at random times, with the words wholly inside: a model must stop where the audio stops."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import Clip
from voxray.transcript import Segment, Word
from voxray.writing_systems import join_texts

WORD_TOLERANCE_S = 0.03  # of a word that may be missing: alignments are no finer


def cut(clip: Clip, start_s: float, end_s: float) -> Clip:
    """Return `clip` from `start_s` to `end_s` with the words wholly inside; it must have word times.

    Segments keep the words that are left to them. The previous text goes unless the start of the clip stays.
    """
    inside = words_inside(clip.words, start_s, end_s)
    words = [
        replace(w, start_s=max(0.0, w.start_s - start_s), end_s=min(w.end_s, end_s) - start_s) for w in inside
    ]
    return replace(
        clip,
        pcm=clip.pcm[int(start_s * SAMPLE_RATE) : int(end_s * SAMPLE_RATE)],
        text=join_texts(w.text for w in words),
        words=tuple(words),
        segments=_regrouped(clip, inside, words),
        previous="" if start_s > 0 else clip.previous,
    )


def _regrouped(clip: Clip, inside: Sequence[Word], cut_words: Sequence[Word]) -> tuple[Segment, ...]:
    """Return the segments of `cut_words`: words whose middle was in one segment of `clip` stay together.

    A word in no segment, or in two, would make text and segments differ: then there are no segments.
    """
    groups = [
        [
            c
            for w, c in zip(inside, cut_words, strict=True)
            if s.start_s <= (w.start_s + w.end_s) / 2 < s.end_s
        ]
        for s in clip.segments
    ]
    if [w for group in groups for w in group] != list(cut_words):
        return ()
    texts = (join_texts(w.text for w in g) for g in groups)
    return tuple(Segment(g[0].start_s, g[-1].end_s, t) for g, t in zip(groups, texts, strict=True) if g)


def words_inside(words: Sequence[Word], start_s: float, end_s: float) -> list[Word]:
    """Return the words that lie wholly between the two times."""
    return [
        w for w in words if w.start_s >= start_s - WORD_TOLERANCE_S and w.end_s <= end_s + WORD_TOLERANCE_S
    ]


def random_cut(clip: Clip, rng: np.random.Generator, shortest_s: float = 0.5) -> Clip:
    """Return `clip` cut at its end (6 of 10 times), its start, or both, with at least `shortest_s` left.

    Half of the cuts at the end are made right after a word, where a model is most likely to go on.
    """
    if not clip.words or clip.duration_s < 2 * shortest_s:
        return clip
    side = rng.choice(["end", "start", "both"], p=[0.6, 0.2, 0.2])
    start_s, end_s = 0.0, clip.duration_s
    if side != "end":
        start_s = float(rng.uniform(0.0, clip.duration_s - shortest_s))
    if side != "start":
        end_s = _end(clip, start_s + shortest_s, rng)
    return cut(clip, start_s, end_s)


def _end(clip: Clip, earliest_s: float, rng: np.random.Generator) -> float:
    ends = [w.end_s for w in clip.words if w.end_s >= earliest_s]
    if ends and rng.random() < 0.5:
        return float(rng.choice(ends))
    return float(rng.uniform(min(earliest_s, clip.duration_s), clip.duration_s))
