"""Clips cut at random times, with the words wholly inside: a model must stop where the audio stops."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import Clip
from voxray.transcript import Segment, Word
from voxray.word_segmentation import find_words
from voxray.writing_systems import join_texts

WORD_TOLERANCE_S = 0.03  # of a word that may be missing: alignments are no finer


def cut(clip: Clip, start_s: float, end_s: float) -> Clip:
    """Return `clip` from `start_s` to `end_s` with the words wholly inside; it must have word times.

    Segments keep the words that are left to them. The previous text goes unless the start of the clip stays.
    """
    inside = words_inside(clip.words, start_s, end_s)
    moved = {i: _within(clip.words[i], start_s, end_s) for i in inside}
    return replace(
        clip,
        pcm=clip.pcm[int(start_s * SAMPLE_RATE) : int(end_s * SAMPLE_RATE)],
        text=_text_of(clip, inside),
        words=tuple(moved.values()),
        segments=_regrouped(clip, moved),
        previous="" if start_s > 0 else clip.previous,
    )


def _within(word: Word, start_s: float, end_s: float) -> Word:
    return replace(word, start_s=max(0.0, word.start_s - start_s), end_s=min(word.end_s, end_s) - start_s)


def _text_of(clip: Clip, words: Sequence[int]) -> str:
    """Return the text of `clip` from the first to the last of its `words`, with the spaces that it has there.

    Where it does not have these words in a row, they are joined.
    """
    texts = [clip.words[i].text.strip() for i in words]
    starts = find_words(clip.text, (w.text for w in clip.words))
    if not words or not starts or words[-1] - words[0] >= len(words):
        return join_texts(texts)
    return clip.text[starts[words[0]] : starts[words[-1]] + len(texts[-1])]


def _regrouped(clip: Clip, moved: Mapping[int, Word]) -> tuple[Segment, ...]:
    """Return the segments of words of `clip`, which `moved` has with the times that they have in the cut.

    Words whose middle was in one segment of `clip` stay together. A word in no segment, or in two, would make
    text and segments differ: then there are no segments.
    """
    middles = {i: (clip.words[i].start_s + clip.words[i].end_s) / 2 for i in moved}
    groups = [[i for i, middle in middles.items() if s.start_s <= middle < s.end_s] for s in clip.segments]
    if [i for group in groups for i in group] != list(moved):
        return ()
    return tuple(Segment(moved[g[0]].start_s, moved[g[-1]].end_s, _text_of(clip, g)) for g in groups if g)


def words_inside(words: Sequence[Word], start_s: float, end_s: float) -> list[int]:
    """Return the indices of the words that lie wholly between the two times."""
    earliest_s, latest_s = start_s - WORD_TOLERANCE_S, end_s + WORD_TOLERANCE_S
    return [i for i, w in enumerate(words) if w.start_s >= earliest_s and w.end_s <= latest_s]


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
