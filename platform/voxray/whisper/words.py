"""Words of a decoded text, and their times from those of its tokens; for files and live windows alike.

Where a word begins depends on the text alone, and on nothing after it. In scripts written with spaces a word
is a run without spaces, with the space before it. In scripts written without them it is one character, with
the marks and the punctuation after it, and an opening bracket before it. One text may hold both.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from voxray.audio import POSITIONS_PER_SECOND
from voxray.transcript import Word
from voxray.whisper.tokens import Tokens
from voxray.writing_systems import UNSPACED

_SPACED = re.compile(r"\s*\S+(?:\s+\Z)?|\s+\Z")
_OPENING = {"Ps", "Pi"}
_VIRAMA = 9  # canonical combining class: the consonant after it stands below the one before
_INCOMPLETE = "\ufffd"  # what a part of a character decodes to
_PARTS = 4  # bytes, and so tokens, that a character may have


def split_words(text: str) -> list[str]:
    """Split `text` into words; concatenated, they give `text` again."""
    return [word for run in _SPACED.findall(text) for word in _split_run(run)]


def _split_run(run: str) -> list[str]:
    """Split one run without inner spaces where its script is written without them."""
    if not UNSPACED.search(run):
        return [run]
    words = [run[0]]
    for before, character in pairwise(run):
        if _begins(words[-1], before, character):
            words.append(character)
        else:
            words[-1] += character
    return words


def _begins(word: str, before: str, character: str) -> bool:
    """Say whether `character`, which follows `before` at the end of `word`, begins another word."""
    category = unicodedata.category(character)
    unspaced = UNSPACED.search(word) is not None
    if category in _OPENING:
        return unspaced
    if category[0] in "MPZC" or not word.strip() or unicodedata.combining(before) == _VIRAMA:
        return False
    if unspaced:
        return True
    return UNSPACED.match(character) is not None and any(c.isalnum() for c in word)


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


def word_times(tokens: Tokens, ids: Sequence[int], alignment: Any, length_s: float) -> tuple[Word, ...]:
    """Return the words of `ids` (text alone) with times inside their window of `length_s` seconds.

    `alignment` is CTranslate2's: (token, encoder position) pairs and token probabilities. A word begins with
    its first token and ends where the next word begins; its probability is the mean over its tokens.
    """
    onsets, probabilities = onsets_s(len(ids), alignment), alignment.text_token_probs
    starts = token_starts(tokens, ids)
    texts = split_words(tokens.decode(ids))
    at = accumulate(map(len, texts[:-1]), initial=0)
    firsts = [_token_at(starts, character) for character in at] if texts else []
    words = []
    for text, first, end in zip(texts, firsts, [*firsts[1:], len(starts)], strict=True):
        start_s, end_s = (min(max(0.0, onsets[i]), length_s) for i in (first, end))
        own = probabilities[first : max(end, first + 1)]
        words.append(Word(text, start_s, end_s, float(sum(own) / len(own))))
    return tuple(words)


def _token_at(starts: Sequence[int], character: int) -> int:
    """Return the token that holds `character`, the first where several share it."""
    last = bisect_right(starts, character) - 1
    return bisect_left(starts, starts[last])
