"""Changes to a transcript's text on request: without punctuation, in simplified Chinese characters."""

import unicodedata
from collections.abc import Callable
from dataclasses import replace

from voxray.simplified_chinese import CHINESE, to_simplified_chinese
from voxray.transcript import Segment, Word

TextFilter = Callable[[str], str]

_READ_ALOUD = frozenset("%&@#/*")  # also in full width: punctuation to Unicode, but read as words
_IN_WORDS = frozenset("'-.\u2019\u2010\u2011")  # kept between letters and digits: don't, well-known, 3.5
_IN_NUMBERS = frozenset(",:")  # kept between digits: 1,000 and 10:30


def text_filter(language: str, *, remove_punctuation: bool, simplified_chinese: bool) -> TextFilter:
    """Return the changes that are asked for and apply to `language`, as one function."""
    steps: list[TextFilter] = []
    if simplified_chinese and language in CHINESE:
        steps.append(to_simplified_chinese)
    if remove_punctuation:
        steps.append(without_punctuation)

    def apply(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return apply


def filtered_segment(segment: Segment, change: TextFilter) -> Segment:
    """Return `segment` with its text and words changed, without words that have no text left."""
    words = (replace(word, text=change(word.text)) for word in segment.words)
    return replace(segment, text=change(segment.text), words=tuple(filter(_has_text, words)))


def without_punctuation(text: str) -> str:
    """Return `text` without punctuation, except inside words and numbers, with single spaces."""
    kept = (" " if _is_punctuation(text, i) else character for i, character in enumerate(text))
    return " ".join("".join(kept).split())


def _is_punctuation(text: str, i: int) -> bool:
    character = text[i]
    read_aloud = unicodedata.normalize("NFKC", character) in _READ_ALOUD
    if read_aloud or not unicodedata.category(character).startswith("P"):
        return False
    before, after = text[i - 1 : i], text[i + 1 : i + 2]
    if character in _IN_WORDS:
        return not (before.isalnum() and after.isalnum())
    return not (character in _IN_NUMBERS and before.isdigit() and after.isdigit())


def _has_text(word: Word) -> bool:
    return bool(word.text)
