"""Normalisers by language, word and character error rates, and repeated n-grams.

Scores follow jiwer: rate = (substitutions + deletions + insertions) / reference length.
"""

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import jiwer

Normaliser = Callable[[str], str]
NormaliserName = Literal["auto", "english", "whisper-english", "basic", "none"]

UNSPACED_LANGUAGES = frozenset({"zh", "ja", "th", "lo", "my", "km", "yue"})
"""Written without spaces between words: scored by character."""

_LONE_POINTS = re.compile(r"(?<!\S)\.+(?!\S)")
_DIGIT_PAIR = re.compile(r"(?<=\d)(?=\d)")


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Edits that turn references into hypotheses; counts add up over clips."""

    reference_length: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(
            self.reference_length + other.reference_length,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference unit (1.0 is 100 %); with no reference, 0 or the count of insertions."""
        return self.errors / max(1, self.reference_length)


def normaliser(language: str | None, name: NormaliserName = "auto") -> Normaliser:
    """The normaliser called `name`; `auto` is `english` for en and `basic` for every other language.

    `whisper-english` is Whisper's own (numbers, spelling, contractions). `english` is the same with
    numbers split into digits afterwards: Whisper's joins "nine five five" into the one word "955", so that
    one wrong digit would cost the whole string. `basic` lower-cases and drops punctuation, keeping
    combining marks, without which Indic vowel signs are lost. `none` changes only the spaces.
    """
    if name == "auto":
        name = "english" if language in (None, "en", "english") else "basic"
    return {"english": english, "whisper-english": whisper_english, "basic": basic, "none": spaced}[name]


@cache
def _whisper_english() -> Normaliser:
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()  # type: ignore[no-any-return]  # the library has no types


def whisper_english(text: str) -> str:
    """Whisper's English normaliser (openai/whisper, normalizers/english.py)."""
    return _whisper_english()(text).strip()


def english(text: str) -> str:
    """Whisper's English normaliser, then one word per digit.

    Of "see..." Whisper's leaves the word "." behind, an error that nobody made: such words are dropped.
    """
    return spaced(_LONE_POINTS.sub(" ", _DIGIT_PAIR.sub(" ", whisper_english(text))))


def spaced(text: str) -> str:
    """The text as it is, with single spaces between words."""
    return " ".join(text.split())


def basic(text: str) -> str:
    """Lower case, letters, marks, numbers and apostrophes inside words; the rest becomes space.

    Format characters (joiners, soft hyphens) are dropped, since they stand inside words.
    """
    lowered = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    kept = "".join(map(_kept, lowered))
    return " ".join(word.strip("'") for word in kept.split() if word.strip("'"))


def _kept(character: str) -> str:
    if character in "'\u2019":
        return "'"
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    return character if category[0] in "LMN" else " "


def by_character(language: str | None) -> bool:
    """Whether `language` is scored by character."""
    return language in UNSPACED_LANGUAGES


def word_errors(reference: str, hypothesis: str, normalise: Normaliser = english) -> ErrorCounts:
    """Word edits of one pair, after `normalise`."""
    ref, hyp = normalise(reference), normalise(hypothesis)
    if not ref.split():
        return ErrorCounts(insertions=len(hyp.split()))
    o = jiwer.process_words(ref, hyp)
    return ErrorCounts(o.hits + o.substitutions + o.deletions, o.substitutions, o.deletions, o.insertions)


def character_errors(reference: str, hypothesis: str, normalise: Normaliser = english) -> ErrorCounts:
    """Character edits of one pair, after `normalise`, spaces left out."""
    ref, hyp = (normalise(t).replace(" ", "") for t in (reference, hypothesis))
    if not ref:
        return ErrorCounts(insertions=len(hyp))
    o = jiwer.process_characters(ref, hyp)
    return ErrorCounts(o.hits + o.substitutions + o.deletions, o.substitutions, o.deletions, o.insertions)


def repeated_ngrams(text: str, n: int = 5) -> int:
    """How many word n-grams of `text` have occurred before in it."""
    words: Sequence[str] = text.split()
    grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    return sum(count - 1 for count in grams.values())


def compression_ratio(text: str) -> float:
    """Bytes over zlib-compressed bytes; Whisper distrusts more than 2.4 (decoding.py)."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0
