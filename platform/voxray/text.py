"""Normalisers by language, word and character error rates, and repeated n-grams.

Scores follow jiwer: rate = (substitutions + deletions + insertions) / reference length.
"""

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal, TypeVar

import jiwer

from voxray.orthography import one_spelling, straight_apostrophes
from voxray.simplified_chinese import CHINESE, to_simplified_chinese

MAX_COMPRESSION_RATIO = 2.4  # of a text that is not a repetition (openai/whisper, transcribe.py)
FIRST_IDEOGRAPH = "\u2e80"  # from here on are ideographs, kana and Hangul; before it, letters and marks

Normaliser = Callable[[str], str]
L = TypeVar("L", str, str | None)
NormaliserName = Literal["auto", "english", "whisper-english", "basic", "simplified-chinese", "none"]

UNSPACED_LANGUAGES = frozenset({"zh", "ja", "th", "lo", "my", "km", "yue"})
"""Written without spaces between words: scored by character."""

_LONE_POINTS = re.compile(r"(?<!\S)\.+(?!\S)")
_LEADING_ZEROS = re.compile(r"(?<![\d.,])0\d+")
_ONE = re.compile(r"\bone(s?)\b")
_DIGIT_PAIR = re.compile(r"(?<=\d)(?=\d)")
_FORMAT_CHARACTERS = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Edits that turn references into hypotheses; the counts of clips can be added."""

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
        """The sum of substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference unit (1.0 is 100 %); the count of insertions where the reference is empty."""
        return self.errors / max(1, self.reference_length)


def normaliser(language: str | None, name: NormaliserName = "auto") -> Normaliser:
    """Return the normaliser called `name`; `auto` is `english` for en and `basic` for every other language.

    `whisper-english` is Whisper's own (numbers, spelling, contractions). `english` is the same with
    numbers split into digits afterwards: Whisper's joins "nine five five" into the one word "955", so that
    one wrong digit would cost the whole string. `basic` folds case and drops punctuation, by the spelling of
    the language, and keeps combining marks, without which Indic vowel signs are lost. `simplified-chinese` is
    `basic`, with Chinese in simplified characters. `none` changes only the spaces.
    """
    if name == "auto":
        name = "english" if language in (None, "en", "english") else "basic"
    if name == "simplified-chinese" and language in CHINESE:
        return lambda text: basic(to_simplified_chinese(text), language)
    if name in ("basic", "simplified-chinese"):
        return partial(basic, language=language)
    return {"english": english, "whisper-english": whisper_english, "none": spaced}[name]


@cache
def _whisper_english() -> Normaliser:
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()  # type: ignore[no-any-return]  # the library has no types


def whisper_english(text: str) -> str:
    """Apply Whisper's English normaliser (openai/whisper, normalizers/english.py)."""
    return _whisper_english()(text).strip()


def english(text: str) -> str:
    """Apply Whisper's English normaliser, for any form of the apostrophe, then make each digit a word.

    Whisper's turns "see..." into "see ."; words of points alone, which would count as errors, are dropped.
    So are format characters (soft hyphens, joiners), which Whisper's keeps. Leading zeros, which it drops
    from digits and not from words, stay, and "one", which it makes of a lone 1, is a digit again.
    """
    plain = _FORMAT_CHARACTERS.sub("", straight_apostrophes(text))
    plain = whisper_english(_LEADING_ZEROS.sub(lambda zeros: " ".join(zeros[0]), plain))
    return spaced(_LONE_POINTS.sub(" ", _DIGIT_PAIR.sub(" ", _ONE.sub(r"1\1", plain))))


def spaced(text: str) -> str:
    """Return the text with single spaces between words, unchanged otherwise."""
    return " ".join(text.split())


def basic(text: str, language: str | None = None) -> str:
    """Fold case; keep letters, marks, digits and apostrophes inside words; turn the rest into spaces.

    Texts that a reader of `language` takes for the same become equal (orthography.py), and so do the digits
    of each script. Format characters (joiners, soft hyphens) are dropped, since they stand inside words.
    """
    words = (word.strip("'") for word in "".join(map(_kept, one_spelling(text, language))).split())
    return " ".join(word for word in words if word)


def _kept(character: str) -> str:
    if character == "'":
        return "'"
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    if category == "Nd":
        return str(unicodedata.digit(character))
    return character if category[0] in "LMN" else " "


def by_character(language: str | None) -> bool:
    """Say whether `language` is written without spaces, and so scored by character."""
    return language in UNSPACED_LANGUAGES


def text_language(language: L, task: str | None) -> L | str:
    """Return the language in which the text of a task is written: translations are English."""
    return "en" if task == "translate" else language


def units(text: str, language: str | None) -> list[str]:
    """Split `text` into what `language` is scored by: words, or characters where no spaces are written."""
    return list("".join(text.split())) if by_character(language) else text.split()


def error_counts(
    reference: str, hypothesis: str, language: str | None, name: NormaliserName = "auto"
) -> ErrorCounts:
    """Count the edits of one pair in the units and after the normaliser of its language.

    Pooled, these are the WER of languages with spaces, the CER of those without, and of a mix of both the
    mixed error rate (MER).
    """
    count = character_errors if by_character(language) else word_errors
    return count(reference, hypothesis, normaliser(language, name))


def word_errors(reference: str, hypothesis: str, normalise: Normaliser = english) -> ErrorCounts:
    """Count the word edits of one pair after `normalise`."""
    ref, hyp = normalise(reference), normalise(hypothesis)
    if not ref.split():
        return ErrorCounts(insertions=len(hyp.split()))
    o = jiwer.process_words(ref, hyp)
    return ErrorCounts(o.hits + o.substitutions + o.deletions, o.substitutions, o.deletions, o.insertions)


def character_errors(reference: str, hypothesis: str, normalise: Normaliser = english) -> ErrorCounts:
    """Count the character edits of one pair after `normalise`, without spaces."""
    ref, hyp = (normalise(t).replace(" ", "") for t in (reference, hypothesis))
    if not ref:
        return ErrorCounts(insertions=len(hyp))
    o = jiwer.process_characters(ref, hyp)
    return ErrorCounts(o.hits + o.substitutions + o.deletions, o.substitutions, o.deletions, o.insertions)


def repeated_ngrams(text: str, n: int = 5, language: str | None = None) -> int:
    """Count the n-grams of `text`, in the units of its language, that occurred before in it."""
    parts = units(text, language)
    grams = Counter(tuple(parts[i : i + n]) for i in range(len(parts) - n + 1))
    return sum(count - 1 for count in grams.values())


def compression_ratio(text: str) -> float:
    """Divide the bytes of `text` by its zlib-compressed bytes; over `MAX_COMPRESSION_RATIO` it is a loop.

    A letter counts as one byte in every alphabet, as it does in English, for which Whisper's bound was
    chosen. UTF-8 has two or three, of which the first are alike in all letters of a script and compress to
    nothing: 300 characters of Hindi, Tamil or Burmese prose would be over the bound. Ideographs, kana and
    Hangul syllables stand for several letters each, and count as the three bytes that UTF-8 has.
    """
    raw = b"".join(map(_character_bytes, text))
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0


def _character_bytes(character: str) -> bytes:
    """Return one byte for a letter, alike for no two of a block of 256; the UTF-8 of an ideograph."""
    if character >= FIRST_IDEOGRAPH:
        return character.encode()
    return bytes([(ord(character) ^ ord(character) >> 8) & 0xFF])
