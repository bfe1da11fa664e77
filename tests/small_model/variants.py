"""Harder clips made from easy ones: cut off, and several in a window.

They depend on nothing but their clips and a random generator: a seed gives the same suite everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from voxray.audio import SAMPLE_RATE, WINDOW_S, Pcm
from voxray.corpora.store import Clip
from voxray.errors import CorpusError
from voxray.transcript import Segment
from voxray.whisper.engines import DecodingResult
from voxray.writing_systems import join_texts

MIN_CUT_S = 0.5  # a shorter clip holds too few words to be scored


def cut_at_random(clip: Clip, rng: np.random.Generator) -> Clip:
    """Cut `clip` at a random time after its first quarter; the reference is the words wholly inside.

    Raises CorpusError where the clip's word times are not known.
    """
    earliest_s = min(max(MIN_CUT_S, clip.duration_s / 4), clip.duration_s)
    return cut(_timed(clip), float(rng.uniform(earliest_s, clip.duration_s)))


def cut_at_word(clip: Clip, rng: np.random.Generator) -> Clip:
    """Cut `clip` at the end of one of its words; raise CorpusError where their times are not known."""
    words = _timed(clip).words
    return cut(clip, words[int(rng.integers(len(words)))].end_s)


def _timed(clip: Clip) -> Clip:
    if not clip.words:
        raise CorpusError(f"{clip.id}: expected a clip with word times to cut, got one without.")
    return clip


def cut(clip: Clip, end_s: float) -> Clip:
    """Return the first `end_s` seconds of `clip`; its reference is the words that end inside them."""
    samples = round(end_s * SAMPLE_RATE)
    words = tuple(w for w in clip.words if round(w.end_s * SAMPLE_RATE) <= samples)
    text = join_texts(w.text for w in words)
    return replace(
        clip, id=f"{clip.id}@{end_s:.2f}", pcm=clip.pcm[:samples], words=words, text=text, segments=()
    )


def several_in_a_window(
    clips: Sequence[Clip],
    rng: np.random.Generator,
    *,
    min_s: float = 10.0,
    max_s: float = WINDOW_S,
    pause_s: tuple[float, float] = (0.3, 2.0),
) -> list[Clip]:
    """Join `clips` in order, random pauses between them, into windows of `min_s` to `max_s` seconds.

    Each window is filled until a random length is reached. One that stays under `min_s`, because the next
    clip would not fit or none is left, is left out.
    """
    windows: list[Clip] = []
    parts: list[Clip | Pcm] = []  # clip, pause, clip, ...
    length_s, aim_s = 0.0, float(rng.uniform(min_s, max_s))
    for clip in clips:
        pause = silence(float(rng.uniform(*pause_s)))
        if parts and (length_s >= aim_s or length_s + _length_s([pause, clip]) > max_s):
            windows += [join(parts)] if min_s <= length_s <= max_s else []
            parts, aim_s = [], float(rng.uniform(min_s, max_s))
        parts += [pause, clip] if parts else [clip]
        length_s = _length_s(parts)
    return [*windows, join(parts)] if min_s <= length_s <= max_s else windows


def join(parts: Sequence[Clip | Pcm]) -> Clip:
    """Join clips and silences (int16) into one clip with a segment for each of the clips."""
    segments: list[Segment] = []
    at = 0
    for part in parts:
        end = at + len(_pcm(part))
        if isinstance(part, Clip):
            segments.append(Segment(at / SAMPLE_RATE, end / SAMPLE_RATE, part.text))
        at = end
    clips = [p for p in parts if isinstance(p, Clip)]
    pcm = np.concatenate([_pcm(p) for p in parts])
    text = join_texts(c.text for c in clips)
    return Clip(
        "+".join(c.id for c in clips), pcm, text, language=clips[0].language, segments=tuple(segments)
    )


def silence(seconds: float) -> Pcm:
    """Return digital silence."""
    return np.zeros(round(seconds * SAMPLE_RATE), dtype=np.int16)


def _pcm(part: Clip | Pcm) -> Pcm:
    return part.pcm if isinstance(part, Clip) else part


def _length_s(parts: Sequence[Clip | Pcm]) -> float:
    return sum(len(_pcm(p)) for p in parts) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class SegmentTimes:
    """Mean absolute error in seconds, over the `matched` of `windows` with as many segments as expected."""

    start_s: float
    end_s: float
    matched: int
    windows: int


def segment_times(windows: Sequence[Clip], results: Sequence[DecodingResult]) -> SegmentTimes:
    """Compare the segments of hypotheses with true ones; errors are NaN where no segment count matches."""
    pairs = [(w, r) for w, r in zip(windows, results, strict=True) if len(w.segments) == len(r.segments)]
    gaps = [
        (abs(true.start_s - found.start_s), abs(true.end_s - found.end_s))
        for w, r in pairs
        for true, found in zip(w.segments, r.segments, strict=True)
    ]
    start_s, end_s = np.mean(gaps, axis=0) if gaps else (np.nan, np.nan)
    return SegmentTimes(float(start_s), float(end_s), len(pairs), len(windows))
