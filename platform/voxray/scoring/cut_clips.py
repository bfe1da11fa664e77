"""Clips that end at a random time: a model must write the words before the cut, and stop there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import Clip
from voxray.scoring.edits import edits
from voxray.scoring.metrics import ClipScore, score_clip
from voxray.text import NormaliserName, units
from voxray.transcript import Word
from voxray.writing_systems import join_texts

SHORTEST_S = 0.5
TOLERANCE_S = 0.03  # of a word that may lie after the cut: alignments are no finer


@dataclass(frozen=True, slots=True)
class CutClip:
    """A clip whose text has the words wholly before the cut; `begun` is the word that the cut falls in."""

    clip: Clip
    begun: str = ""


@dataclass(frozen=True, slots=True)
class CutScore:
    """A cut clip's score, against the text with the begun word where that is nearer, and words after it."""

    score: ClipScore
    invented: int


def random_cut(clip: Clip, words: Sequence[Word], rng: np.random.Generator) -> CutClip:
    """Return `clip`, whose `words` have times, up to a random time; one shorter than 0.5 s stays whole."""
    return cut(clip, words, float(rng.uniform(min(SHORTEST_S, clip.duration_s), clip.duration_s)))


def cut(clip: Clip, words: Sequence[Word], end_s: float) -> CutClip:
    """Return `clip` up to `end_s`; its `words` are in order."""
    inside = [w for w in words if w.end_s <= end_s + TOLERANCE_S]
    begun = [w for w in words if w.start_s < end_s < w.end_s - TOLERANCE_S]
    part = replace(
        clip,
        pcm=clip.pcm[: round(end_s * SAMPLE_RATE)],
        text=join_texts(w.text.strip() for w in inside),
        words=tuple(inside),
        segments=(),
    )
    return CutClip(part, begun[0].text.strip() if begun else "")


def score_cut(cut_clip: CutClip, hypothesis: str, name: NormaliserName = "auto") -> CutScore:
    """Score what a model wrote for a cut clip: it may write the begun word or not."""
    clip = cut_clip.clip
    references = [clip.text]
    if cut_clip.begun:
        references.insert(0, join_texts((clip.text, cut_clip.begun)))
    scores = [
        score_clip(clip.id, text, hypothesis, clip.duration_s, clip.text_language, name, clip.speaker)
        for text in references
    ]
    nearest = min(scores, key=lambda s: s.errors.errors)
    return CutScore(nearest, words_after(nearest, name))


def words_after(score: ClipScore, name: NormaliserName = "auto") -> int:
    """Count the words of a hypothesis after the last one that has a counterpart in the reference."""
    found = edits(score.reference, score.hypothesis, score.language, name)
    if not found or found[-1].kind != "insert":
        return 0
    return len(units(found[-1].hypothesis, score.language))
