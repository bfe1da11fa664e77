"""The words of a decoded text, and their times from those of its tokens; for files and live windows alike."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np

from voxray.audio import POSITIONS_PER_SECOND, SAMPLE_RATE, Pcm, duration_s
from voxray.transcript import Word
from voxray.whisper.tokens import Tokens
from voxray.word_segmentation import split_words

Levels = np.ndarray[Any, np.dtype[np.float64]]

_INCOMPLETE = "\ufffd"  # what a part of a character decodes to
_PARTS = 4  # bytes, and so tokens, that a character may have

LEVEL_S = 0.01  # the length of audio whose level is one number
MIN_RANGE_DB = 12.0  # between noise and speech; with less of it, pauses cannot be told by their level
QUIET_SHARE = 0.25  # of that range: what lies below is quiet
MAX_CLOSURE_S = 0.25  # of silence inside one word, such as that of a stop; a longer one is a pause
KEPT_S = 0.05  # of the quiet around a word's speech: weak consonants
TAIL_S = 0.15  # of a word, in which the onset of the next one may lie though a pause is between
LATE_S = 0.4  # after a word, in which its own onset may lie
MAX_LATE_S = 0.8  # after a pause: how late the onset of the first word may be

LONGEST = 2.0  # medians that a word may last where levels do not tell (openai/whisper, timing.py)
MAX_MEDIAN_S = 0.7  # as there: in a window of few words the median may be one of a pause
MAX_LETTER_S = 0.1  # likewise, of the median time of a letter, by which long words are allowed more
DIGIT_LETTERS = 5  # a digit is spoken as a word
LOUDER = 1.25  # times the energy, 1 dB: where a word is rather than at its aligned onset


def token_starts(tokens: Tokens, ids: Sequence[int]) -> list[int]:
    """Return the character of the text at which each token begins.

    Tokens that are parts of one character all begin at it.
    """
    starts, at, pending = list[int](), 0, list[int]()
    for token in ids:
        starts.append(at)
        pending.append(token)
        piece = tokens.decode(pending)
        if _INCOMPLETE not in piece or len(pending) == _PARTS:
            at += len(piece)
            pending = []
    return starts


def onsets_s(count: int, alignment: Any) -> list[float]:
    """Return when each of `count` aligned tokens begins, and last when they end, in seconds."""
    pairs = np.array([(token, frame) for token, frame in alignment.alignments])
    first = np.array([pairs[pairs[:, 0] == k, 1].min(initial=10**6) for k in range(count + 1)])
    last_frame = int(pairs[:, 1].max()) + 1
    ordered = np.minimum.accumulate(np.minimum(first, last_frame)[::-1])[::-1]
    onsets: list[float] = (ordered / POSITIONS_PER_SECOND).tolist()
    return onsets


def word_tokens(tokens: Tokens, ids: Sequence[int]) -> list[tuple[str, int, int]]:
    """Return each word of `ids` (text alone), its first token, and the next word's.

    Words inside one token begin with it, and all but the last of them have no tokens of their own.
    """
    starts = token_starts(tokens, ids)
    texts = split_words(tokens.decode(ids))
    at = accumulate(map(len, texts[:-1]), initial=0)
    firsts = [_token_at(starts, character) for character in at] if texts else []
    return list(zip(texts, firsts, [*firsts[1:], len(starts)], strict=True))


def word_times(tokens: Tokens, ids: Sequence[int], alignment: Any, pcm: Pcm) -> tuple[Word, ...]:
    """Return the words of `ids` (text alone) with times inside their window `pcm`.

    `alignment` is CTranslate2's: (token, encoder position) pairs and token probabilities. A word lies between
    its first token and the next word's, without the pauses there; its probability is the mean over its
    tokens.
    """
    onsets, probabilities = onsets_s(len(ids), alignment), alignment.text_token_probs
    lasts_s, words = duration_s(pcm), []
    for text, first, end in word_tokens(tokens, ids):
        start_s, end_s = (min(max(0.0, onsets[i]), lasts_s) for i in (first, end))
        own = probabilities[first : max(end, first + 1)]
        words.append(Word(text, start_s, end_s, float(sum(own) / len(own))))
    return without_pauses(words, pcm)


def _token_at(starts: Sequence[int], character: int) -> int:
    """Return the token that holds `character`, the first where several share it."""
    last = bisect_right(starts, character) - 1
    return bisect_left(starts, starts[last])


def without_pauses(words: Sequence[Word], pcm: Pcm) -> tuple[Word, ...]:
    """Return `words` (in order) without the pauses that alignment counts to them.

    Alignment tiles the window with words, so that one before a pause reaches over it, and often over the
    beginning of the next one, whose onset comes late. Each word is put into the stretch of sound in which it
    begins, where the window has quiet to tell sound from; else none is longer than words are.
    """
    levels = levels_db(pcm)
    bound = _quiet_db(levels)
    if bound is None:
        return _shortened(words, levels)
    stretches = list(_stretches(np.flatnonzero(levels > bound).tolist()))
    homes = _homes(words, stretches)
    placed: list[Word] = []
    for i, word in enumerate(words):
        first, last = homes[i] not in homes[:i][-1:], homes[i] not in homes[i + 1 :][:1]
        start_s, end_s = _bounds_s(word, stretches[homes[i]], first, last)
        start_s = max(start_s, placed[-1].end_s if placed else 0.0)
        placed.append(replace(word, start_s=start_s, end_s=max(start_s, min(end_s, duration_s(pcm)))))
    return tuple(placed)


def _shortened(words: Sequence[Word], levels: Levels) -> tuple[Word, ...]:
    """Return `words`, of those that are too long the loudest part of the longest length allowed."""
    sums = np.concatenate([[0.0], np.cumsum(10 ** (levels / 10))])
    return tuple(
        _loudest(word, longest_s, sums) if word.end_s - word.start_s > longest_s else word
        for word, longest_s in zip(words, _longest_s(words), strict=True)
    )


def _longest_s(words: Sequence[Word]) -> list[float]:
    """Return how long each of `words` may be: `LONGEST` times the median word, or as many letters."""
    letters = [max(1, sum(DIGIT_LETTERS if c.isdigit() else c.isalpha() for c in w.text)) for w in words]
    lasts_s = [w.end_s - w.start_s for w in words]
    timed = [(s, s / n) for s, n in zip(lasts_s, letters, strict=True) if s > 0] or [(0.0, 0.0)]
    word_s, letter_s = np.median(timed, axis=0).tolist()
    word_s, letter_s = min(word_s, MAX_MEDIAN_S), min(letter_s, MAX_LETTER_S)
    return [LONGEST * max(word_s, n * letter_s) for n in letters]


def _loudest(word: Word, length_s: float, sums: Levels) -> Word:
    """Return `word` with a length of `length_s`, at its onset or where it is clearly louder.

    `sums` are the energies up to each `LEVEL_S`.
    """
    first, last = round(word.start_s / LEVEL_S), round((word.end_s - length_s) / LEVEL_S)
    starts = np.arange(first, max(first, last) + 1)
    ends = starts + round(length_s / LEVEL_S)
    energies = sums[np.minimum(ends, len(sums) - 1)] - sums[np.minimum(starts, len(sums) - 1)]
    at = int(np.argmax(energies))
    if energies[at] <= LOUDER * energies[0]:
        return replace(word, end_s=word.start_s + length_s)
    start_s = min(word.start_s + at * LEVEL_S, word.end_s - length_s)
    return replace(word, start_s=start_s, end_s=start_s + length_s)


def _quiet_db(levels: Levels) -> float | None:
    """Return the level up to which it is quiet; None where that cannot be told.

    Digital silence does not count to the noise: clips are packed with it, and calls are muted with it.
    """
    heard = levels[levels > 0.0]
    noise, speech = np.percentile(heard, [10, 99]) if len(heard) else (0.0, 0.0)
    if speech - noise >= MIN_RANGE_DB:
        return float(noise + QUIET_SHARE * (speech - noise))
    return 0.0 if 0 < len(heard) < len(levels) else None


def levels_db(pcm: Pcm) -> Levels:
    """Return the level of each `LEVEL_S` of `pcm`, in decibels over one quantisation step."""
    step = round(LEVEL_S * SAMPLE_RATE)
    frames = pcm[: len(pcm) // step * step].reshape(-1, step).astype(np.float64)
    levels: Levels = 10 * np.log10(np.mean(frames**2, axis=1) + 1.0)
    return levels


def _stretches(frames: Sequence[int]) -> Iterator[tuple[float, float]]:
    """Yield begin and end in seconds of the runs of `frames` that no pause divides."""
    begin = 0
    for i, frame in enumerate(frames):
        if i + 1 == len(frames) or (frames[i + 1] - frame) * LEVEL_S > MAX_CLOSURE_S:
            yield frames[begin] * LEVEL_S, (frame + 1) * LEVEL_S
            begin = i + 1


def _homes(words: Sequence[Word], stretches: Sequence[tuple[float, float]]) -> list[int]:
    """Return the stretch of each word: that of its onset, or the next one where the word reaches into it.

    That is so where the onset lies in the pause before, or at the end of the word before.
    """
    homes, taken = list[int](), -1
    for word in words:
        home = max(bisect_right([begin for begin, _ in stretches], word.start_s) - 1, 0)
        left_s = stretches[home][1] - word.start_s
        reaches_next = home + 1 < len(stretches) and stretches[home + 1][0] < word.end_s
        if reaches_next and left_s < (TAIL_S if home <= taken else -LATE_S):
            home += 1
        taken = max(taken, home)
        homes.append(taken)
    return homes


def _bounds_s(word: Word, stretch: tuple[float, float], first: bool, last: bool) -> tuple[float, float]:
    """Return start and end of `word`; whether it is the first and the last one of its stretch."""
    begin_s, end_s = stretch[0] - KEPT_S, stretch[1] + KEPT_S
    if word.end_s <= begin_s or word.start_s >= end_s + MAX_LATE_S:  # nothing is heard there
        return word.start_s, min(word.end_s, word.start_s + MAX_CLOSURE_S)
    start_s = max(begin_s, word.start_s - MAX_LATE_S) if first else max(begin_s, word.start_s)
    return start_s, end_s if last else min(word.end_s, end_s)
