"""Long form in overlapping chunks, which are joined on the longest common sequence of their words.

After the chunked algorithm of Hugging Face's pipeline, which joins on tokens. The words of two neighbouring
chunks are matched where they overlap. A match counts the more the nearer the times of both words are, so that
a word said several times in a row is matched with itself.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace
from functools import partial

import numpy as np

from voxray.audio import WINDOW_S, Pcm, duration_s
from voxray.long_form.ordering import in_order
from voxray.speech import Span, part
from voxray.text import normaliser
from voxray.transcribe import TIME_DIGITS, Windows, segments_of, transcribe_windows
from voxray.transcript import Segment, Transcript, Word
from voxray.whisper.engines import DecodingOptions, DecodingResult, Engine
from voxray.writing_systems import join_texts

CHUNK_S = WINDOW_S
OVERLAP_S = 5.0  # of neighbouring chunks: a sixth of one, as in transformers' pipeline
TOLERANCE_S = 1.0  # between the times of the same word in two chunks

Normalise = Callable[[str], str]


def transcribe_chunked(
    recordings: Sequence[Pcm], engine: Engine, options: DecodingOptions
) -> list[Transcript]:
    """Transcribe recordings in chunks of 30 s that overlap by 5 s; those of all recordings share batches.

    The chunks are decoded with timestamps (without, Whisper often ends its text at a pause) and with words,
    which are joined. Segments are those of the chunks; one that a join falls into is continued from the next
    chunk. A recording has one language, as in `transcribe.transcribe`.
    """
    timed = options.model_copy(update={"words": True, "timestamps": True})
    join = partial(join_segments, normalise=normaliser(options.language, "basic"))
    transcripts = transcribe_windows([chunks(pcm) for pcm in recordings], engine, timed, join)
    return transcripts if options.words else [_without_words(t) for t in transcripts]


def chunks(pcm: Pcm) -> Windows:
    """Cut `pcm` into overlapping chunks, views of it; an empty recording has none."""
    spans = tuple(chunk_spans(duration_s(pcm))) if len(pcm) else ()
    return Windows(spans, tuple(part(pcm, span) for span in spans), round(duration_s(pcm), TIME_DIGITS))


def _without_words(transcript: Transcript) -> Transcript:
    return replace(transcript, segments=tuple(replace(s, words=()) for s in transcript.segments))


def chunk_spans(lasts_s: float, chunk_s: float = CHUNK_S, overlap_s: float = OVERLAP_S) -> list[Span]:
    """Return chunks of `chunk_s` seconds that cover a recording, each of which overlaps the next."""
    spans = [Span(0.0, min(chunk_s, lasts_s))]
    while spans[-1].end_s < lasts_s:
        start_s = spans[-1].start_s + chunk_s - overlap_s
        spans.append(Span(start_s, min(start_s + chunk_s, lasts_s)))
    return spans


def join_segments(
    spans: Sequence[Span], results: Sequence[DecodingResult], normalise: Normalise
) -> Iterator[Segment]:
    """Yield the segments of a recording from the results of its chunks, which have words; times are in order.

    A segment ends where the chunk that its last word is from ended one.
    """
    segments = [segments_of(result, span.start_s) for span, result in zip(spans, results, strict=True)]
    # By identity: two chunks may have the same word at the same time, and only one ends a segment with it.
    ends = {id(s.words[-1]) for chunk in segments for s in chunk if s.words}
    words = join_chunks([[w for s in chunk for w in s.words] for chunk in segments], spans, normalise)
    return in_order(map(_segment, _split_after(words, ends)))


def _split_after(words: Sequence[Word], ends: Set[int]) -> Iterator[Sequence[Word]]:
    """Yield the stretches of `words` up to each whose id is in `ends`, and what is left after the last."""
    start = 0
    for i, word in enumerate(words, start=1):
        if id(word) in ends or i == len(words):
            yield words[start:i]
            start = i


def _segment(words: Sequence[Word]) -> Segment:
    return Segment(words[0].start_s, words[-1].end_s, join_texts(w.text for w in words), tuple(words))


def join_chunks(chunks: Sequence[Sequence[Word]], spans: Sequence[Span], normalise: Normalise) -> list[Word]:
    """Join the words of all chunks; times count from the start of the recording.

    `normalise` gives the form in which words are compared. No word is lost or doubled where each chunk has
    exactly the words that lie wholly in it, none longer than the overlap.
    """
    whole: list[Word] = []
    for i, (words, span) in enumerate(zip(chunks, spans, strict=True)):
        overlap = Span(span.start_s, spans[i - 1].end_s if i else span.start_s)
        whole = join_pair(whole, words, overlap, normalise)
    return whole


def join_pair(left: Sequence[Word], right: Sequence[Word], overlap: Span, normalise: Normalise) -> list[Word]:
    """Join the words of two chunks that both cover `overlap`.

    They are joined in the matched pair nearest to the middle of the overlap: words at the edge of a chunk
    are the least certain. Without a match, each has the words of its half of the overlap.
    """
    middle_s = (overlap.start_s + overlap.end_s) / 2
    first = next((i for i, w in enumerate(left) if w.end_s > overlap.start_s), len(left))
    last = next((i for i, w in enumerate(right) if w.start_s >= overlap.end_s), len(right))
    pairs = matched(left[first:], right[:last], min(TOLERANCE_S, overlap.length_s / 2), normalise)
    if not pairs:
        return [
            *(w for i, w in enumerate(left) if i < first or _middle_s(w) < middle_s),
            *(w for i, w in enumerate(right) if i >= last or _middle_s(w) >= middle_s),
        ]
    i, j = min(pairs, key=lambda pair: abs(_middle_s(left[first + pair[0]]) - middle_s))
    return [*left[: first + i + 1], *right[j + 1 :]]


def matched(
    left: Sequence[Word], right: Sequence[Word], tolerance_s: float, normalise: Normalise
) -> list[tuple[int, int]]:
    """Return the index pairs of the common sequence of two lists that has the most weight.

    Equal words weigh 1, less as their times differ, and nothing from `tolerance_s` on. Of the words in an
    overlap that is at least twice as long, decoded alike in both lists, each is matched with itself: to match
    one word more, all would have to be shifted, by at least half of the overlap in sum.
    """
    weights = _weights(left, right, tolerance_s, normalise)
    best = np.zeros((len(left) + 1, len(right) + 1))
    for i, j in np.ndindex(weights.shape):
        best[i + 1, j + 1] = max(best[i, j + 1], best[i + 1, j], best[i, j] + weights[i, j])
    return _backtracked(best, weights)


def _weights(
    left: Sequence[Word], right: Sequence[Word], tolerance_s: float, normalise: Normalise
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    weights = np.zeros((len(left), len(right)))
    texts = [normalise(w.text) for w in left], [normalise(w.text) for w in right]
    for i, j in np.ndindex(weights.shape):
        apart_s = abs(_middle_s(left[i]) - _middle_s(right[j]))
        if texts[0][i] == texts[1][j] and apart_s < tolerance_s:
            weights[i, j] = 1 - apart_s / tolerance_s
    return weights


def _backtracked(
    best: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    weights: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> list[tuple[int, int]]:
    pairs = []
    i, j = weights.shape
    while i and j:
        if weights[i - 1, j - 1] and best[i, j] == best[i - 1, j - 1] + weights[i - 1, j - 1]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif best[i, j] == best[i - 1, j]:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


def _middle_s(word: Word) -> float:
    return (word.start_s + word.end_s) / 2
