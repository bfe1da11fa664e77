"""Segments whose times overlap a little, put in order."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from voxray.transcript import Segment, Timed, Word


def in_order(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Yield `segments`, none of which, nor any of their words, begins before the end of the one before it.

    A word that was timed twice, in windows that overlap or follow each other, differs by a little: what
    begins too early is shortened at its start, down to no length.
    """
    end_s = 0.0
    for segment in segments:
        words = list[Word]()
        for word in segment.words:
            words.append(_not_before(word, words[-1].end_s if words else end_s))
        timed = _not_before(segment, end_s)
        if words:
            timed = replace(timed, start_s=words[0].start_s, end_s=words[-1].end_s, words=tuple(words))
        yield timed
        end_s = timed.end_s


def _not_before(timed: Timed, at_s: float) -> Timed:
    start_s = max(timed.start_s, at_s)
    return replace(timed, start_s=start_s, end_s=max(timed.end_s, start_s))
