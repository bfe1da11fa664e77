"""What a client may have changed in what was heard: no punctuation, simplified Chinese characters."""

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from voxray.errors import MissingDependency
from voxray.transcript import Segment, Word

Wording = Callable[[str], str]

CHINESE = frozenset({"zh", "yue"})  # Japanese has characters of its own, which must stay
_SPOKEN = frozenset("%&@#/*")  # also in full width: punctuation to Unicode, words to a reader
_IN_WORDS = frozenset("'-.\u2019\u2010\u2011")  # kept between letters and digits: don't, well-known, 3.5
_IN_NUMBERS = frozenset(",:")  # kept between digits: 1,000 and 10:30


def wording(language: str, *, remove_punctuation: bool, simplified_chinese: bool) -> Wording:
    """What becomes of text in `language`."""
    steps: list[Wording] = []
    if simplified_chinese and language in CHINESE:
        steps.append(simplified)
    if remove_punctuation:
        steps.append(unpunctuated)

    def reword(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return reword


def reworded(segment: Segment, change: Wording) -> Segment:
    """`segment` with its text and its words changed; words of which nothing is left are dropped."""
    words = (replace(word, text=change(word.text)) for word in segment.words)
    return replace(segment, text=change(segment.text), words=tuple(filter(_has_text, words)))


def unpunctuated(text: str) -> str:
    """`text` without punctuation, single spaces between words; what stands inside a word or number stays."""
    kept = (" " if _punctuates(text, i) else character for i, character in enumerate(text))
    return " ".join("".join(kept).split())


def simplified(text: str) -> str:
    """`text` in simplified Chinese characters (OpenCC, t2s), also where they depend on the phrase."""
    return _opencc()(text)


@cache
def _opencc() -> Wording:
    try:
        from opencc import OpenCC
    except ImportError as e:
        raise MissingDependency(
            "simplified_chinese: expected the package opencc, and it is not installed; "
            "install voxray[serve] on the server."
        ) from e
    convert: Wording = OpenCC("t2s").convert
    return convert


def _punctuates(text: str, i: int) -> bool:
    character = text[i]
    spoken = unicodedata.normalize("NFKC", character) in _SPOKEN
    if spoken or not unicodedata.category(character).startswith("P"):
        return False
    before, after = text[i - 1 : i], text[i + 1 : i + 2]
    if character in _IN_WORDS:
        return not (before.isalnum() and after.isalnum())
    return not (character in _IN_NUMBERS and before.isdigit() and after.isdigit())


def _has_text(word: Word) -> bool:
    return bool(word.text)
