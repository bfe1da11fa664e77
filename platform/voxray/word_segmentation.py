"""Splits texts into words; for word times, captions and live text alike.

Where a word begins depends on the text alone, and on nothing after it. In scripts written with spaces a word
is a run without spaces, with the space before it. In scripts written without them it is one character, with
the marks and the punctuation after it, and an opening bracket before it. One text may hold both.
"""

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

from voxray.writing_systems import UNSPACED

_SPACED = re.compile(r"\s*\S+(?:\s+\Z)?|\s+\Z")
_OPENING = {"Ps", "Pi"}
_STACKING = "\u1039\u17d2"  # Burmese virama, Khmer coeng: the consonant after it stands below the one before


def split_words(text: str) -> list[str]:
    """Split `text` into words; concatenated, they give `text` again."""
    return [word for run in _SPACED.findall(text) for word in _split_run(run)]


def bare_words(text: str) -> list[str]:
    """Return the words of `text` without space, punctuation and symbols at their edges, in order."""
    return [bare for word in split_words(text) if (bare := _stripped(_stripped(word)[::-1])[::-1])]


def find_words(text: str, words: Iterable[str]) -> list[int] | None:
    """Return where each of `words` begins in `text`, in order; None where they are not the words of it."""
    starts, at = list[int](), 0
    for word in map(str.strip, words):
        if (found := text.find(word, at)) < 0:
            return None
        starts.append(found)
        at = found + len(word)
    return starts


def _stripped(word: str) -> str:
    """Return `word` without what is no letter, mark or digit at its end."""
    end = len(word)
    while end and unicodedata.category(word[end - 1])[0] in "PSZC":
        end -= 1
    return word[:end]


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
    if category[0] in "MPZC" or not word.strip() or before in _STACKING:
        return False
    if unspaced:
        return True
    return UNSPACED.match(character) is not None and any(c.isalnum() for c in word)
