"""Clips cut at any moment and labelled with what is wholly heard: a model must stop where the audio stops."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import Clip
from voxray.transcript import Word
from voxray.whisper.words import join_words

HEARD_S = 0.03  # a word whose last 30 ms are missing counts as heard: alignments are no finer


def cut(clip: Clip, start_s: float, end_s: float) -> Clip:
    """`clip` from `start_s` to `end_s`, with the words wholly inside; the clip must have word times."""
    inside = words_inside(clip.words, start_s, end_s)
    pcm = clip.pcm[int(start_s * SAMPLE_RATE) : int(end_s * SAMPLE_RATE)]
    words = tuple(Word(w.text, max(0.0, w.start_s - start_s), min(w.end_s, end_s) - start_s) for w in inside)
    return replace(clip, pcm=pcm, text=join_words([w.text for w in inside]), words=words)


def words_inside(words: Sequence[Word], start_s: float, end_s: float) -> list[Word]:
    """The words heard whole between the two times."""
    return [w for w in words if w.start_s >= start_s - HEARD_S and w.end_s <= end_s + HEARD_S]


def random_cut(clip: Clip, rng: np.random.Generator, shortest_s: float = 0.5) -> Clip:
    """`clip` cut at its end (6 of 10 times), its start, or both, leaving at least `shortest_s`.

    Half of the cuts at the end fall on the end of a word, where a model is most tempted to go on.
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
