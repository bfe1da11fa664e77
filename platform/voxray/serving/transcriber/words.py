"""Text cut into words that live hypotheses are compared by, and the words' times from those of the tokens.

Where a word begins depends on the text alone, and on nothing after it. In scripts written with spaces a word
is a run without spaces, with the space before it. In scripts written without them it is one character, with
the marks and the punctuation after it, and an opening bracket before it. One text may hold both.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from voxray.streaming.events import HypothesisWord
from voxray.whisper.tokens import Tokens

_SPACED = re.compile(r"\s*\S+(?:\s+\Z)?|\s+\Z")
_UNSPACED = re.compile(
    "["
    "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Han
    "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b16f"  # Kana
    "\u3100-\u312f\u31a0-\u31bf"  # Bopomofo
    "\u0e00-\u0e7f\u0e80-\u0eff"  # Thai, Lao
    "\u1780-\u17ff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Khmer, Burmese
    "\u0f00-\u0fff"  # Tibetan
    "]"
)
_OPENING = {"Ps", "Pi"}
_VIRAMA = 9  # canonical combining class: the consonant after it stands below the one before
_INCOMPLETE = "\ufffd"  # what a part of a character decodes to
_PARTS = 4  # bytes, and so tokens, that a character may have


def cut(text: str) -> list[str]:
    """`text` in words, each as it stands there; joined they are `text` again."""
    return [word for run in _SPACED.findall(text) for word in _cut_run(run)]


def _cut_run(run: str) -> list[str]:
    """One run without spaces (but for those around it), cut where it is of a script without them."""
    if not _UNSPACED.search(run):
        return [run]
    words = [run[0]]
    for before, character in pairwise(run):
        if _begins(words[-1], before, character):
            words.append(character)
        else:
            words[-1] += character
    return words


def _begins(word: str, before: str, character: str) -> bool:
    """Whether `character`, which follows `before` at the end of `word`, begins another word."""
    category = unicodedata.category(character)
    unspaced = _UNSPACED.search(word) is not None
    if category in _OPENING:
        return unspaced
    if category[0] in "MPZC" or not word.strip() or unicodedata.combining(before) == _VIRAMA:
        return False
    if unspaced:
        return True
    return _UNSPACED.match(character) is not None and any(c.isalnum() for c in word)


def token_starts(tokens: Tokens, ids: Sequence[int]) -> list[int]:
    """At which character of the text each token begins; those that are parts of a character begin at it."""
    starts, at, pending = list[int](), 0, list[int]()
    for token in ids:
        starts.append(at)
        pending.append(token)
        piece = tokens.decode(pending)
        if _INCOMPLETE not in piece or len(pending) == _PARTS:
            at += len(piece)
            pending = []
    return starts


def timed(
    words: Sequence[str],
    starts: Sequence[int],
    onsets_s: Sequence[float],
    probabilities: Sequence[float],
    length_s: float,
) -> tuple[HypothesisWord, ...]:
    """`words` with times inside the window of `length_s` seconds.

    `starts`: the character at which each token begins. `onsets_s`: when it does, and last when the text ends.
    A word begins with its first token, and ends where the next begins; its probability is its tokens' mean.
    """
    heard, at, firsts = list[HypothesisWord](), 0, list[int]()
    for word in words:
        firsts.append(_token_at(starts, at))
        at += len(word)
    ends = [*firsts[1:], len(starts)]
    for word, first, end in zip(words, firsts, ends, strict=True):
        own = probabilities[first : max(end, first + 1)]
        start_s, end_s = (min(max(0.0, float(onsets_s[i])), length_s) for i in (first, end))
        heard.append(HypothesisWord(word, start_s, end_s, float(sum(own) / len(own))))
    return tuple(heard)


def _token_at(starts: Sequence[int], character: int) -> int:
    """The token that has `character`, the first where several share it."""
    last = bisect_right(starts, character) - 1
    return bisect_left(starts, starts[last])
