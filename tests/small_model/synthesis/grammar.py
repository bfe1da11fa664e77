"""Texts to be spoken: digit strings, numerals, everyday sentences, and words in random order.

More than a third of the texts are random word orders, mixtures and truncations. A decoder trained on a
grammar alone learns to finish the sentence instead of listening: it invents words after a cut.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.small_model.synthesis import numerals
from tests.small_model.synthesis.lexicon import PATTERNS, SLOTS

Kind = Literal["digits", "numeral", "sentence", "shuffle", "mixture"]

SHARES: dict[Kind, float] = {
    "digits": 0.25,
    "numeral": 0.08,
    "sentence": 0.29,
    "shuffle": 0.28,
    "mixture": 0.10,
}
"""How often each kind of text is drawn."""
PLAIN_SHARES: dict[Kind, float] = {"digits": 0.2, "numeral": 0.1, "sentence": 0.7}
"""The same without random orders, for clips that people listen to."""
RANDOM_KINDS: frozenset[Kind] = frozenset({"shuffle", "mixture"})
"""The kinds in which no word can be told from the ones before it, or from where a phrase breaks off."""

_COMPUTED: dict[str, Callable[[Random], str]] = {
    "number": numerals.number,
    "digits": numerals.digits,
    "digit": lambda rng: rng.choice(numerals.DIGITS),
    "time": numerals.time,
    "date": numerals.date,
}
_SLOT = re.compile(r"\{(\w+)\}")
_END_MARKS = ".?!"
_HOMOPHONES = frozenset("to too for know write hear flour read our would".split())
"""Words that sound as another of the vocabulary does: out of context nobody can tell which was said."""


@dataclass(frozen=True, slots=True)
class Line:
    """One text, and the kind of which it was drawn."""

    kind: Kind
    text: str


def sentence(rng: Random) -> str:
    """A text of words, spaces and . , ? ! ' - ; numbers are spelled out."""
    return draw(rng).text


def draw(rng: Random, shares: Mapping[Kind, float] = SHARES) -> Line:
    """A text of a kind drawn by `shares`."""
    (kind,) = rng.choices(list(shares), weights=list(shares.values()))
    return Line(kind, _MAKERS[kind](rng))


def pattern(rng: Random) -> str:
    """An everyday sentence with its punctuation."""
    return _capital(_one_end_mark(_fill(rng.choice(PATTERNS), rng)))


def sentences(rng: Random) -> str:
    """One everyday sentence, now and then two."""
    return " ".join(pattern(rng) for _ in range(2 if rng.random() < 0.1 else 1))


def numeral(rng: Random) -> str:
    """A number, or a time or a date as a sentence of its own."""
    form = rng.choice((numerals.number, numerals.number, numerals.time, numerals.date))
    text = form(rng)
    return text if form is numerals.number else _close(text)


def shuffle(rng: Random) -> str:
    """2 to 10 words drawn one by one from the whole vocabulary, now and then with a comma."""
    words = rng.choices(_ALONE, k=rng.randint(2, 10))
    pauses = [i for i in range(1, len(words) - 2) if rng.random() < 0.08]
    for i in pauses:
        words[i] += ","
    return _close(" ".join(words), rng.choice("....?"))


def mixture(rng: Random) -> str:
    """A sentence cut short, two halves that do not belong together, or a sentence with words put in."""
    words = pattern(rng).split()
    style = rng.randrange(3)
    if style == 0:
        return _close(_cut(words, rng))
    if style == 1:
        return _close(f"{_cut(words, rng)} {_tail(pattern(rng).split(), rng)}")
    for word in rng.choices(_ALONE, k=rng.randint(1, 3)):
        words.insert(rng.randint(1, len(words)), word)
    return _close(" ".join(words))


_MAKERS: dict[Kind, Callable[[Random], str]] = {
    "digits": numerals.digits,
    "numeral": numeral,
    "sentence": sentences,
    "shuffle": shuffle,
    "mixture": mixture,
}


def _fill(text: str, rng: Random) -> str:
    def entry(match: re.Match[str]) -> str:
        name = match[1]
        if name in _COMPUTED:
            return _COMPUTED[name](rng)
        return _fill(rng.choice(SLOTS[name]), rng)

    return _SLOT.sub(entry, text)


def _cut(words: list[str], rng: Random) -> str:
    return " ".join(words[: rng.randint(1, max(1, len(words) - 1))])


def _tail(words: list[str], rng: Random) -> str:
    return " ".join(words[-rng.randint(1, max(1, len(words) - 1)) :])


def _close(text: str, mark: str = ".") -> str:
    """`text` with a capital at its start and one mark at its end, and none inside."""
    words = [_unmarked(word) for word in text.split()]
    words[-1] = words[-1].rstrip(",")
    return _capital(_one_end_mark(" ".join(words) + mark))


def _unmarked(word: str) -> str:
    return word if word in ("a.m.", "p.m.") else word.rstrip(_END_MARKS)


def _one_end_mark(text: str) -> str:
    return text[:-1] if text.endswith(("m..", "m.,")) else text


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _words_of(text: str) -> list[str]:
    return [_unmarked(w).rstrip(",") for w in _SLOT.sub(" ", text).replace("'s ", " ").split()]


def _spelling(word: str, proper: frozenset[str]) -> str:
    return word if word in proper or word in ("I", "I'm") else word[:1].lower() + word[1:]


def _spellings() -> tuple[str, ...]:
    entries = [word for slot in SLOTS.values() for entry in slot for word in _words_of(entry)]
    proper = frozenset(word for word in entries if word[:1].isupper())
    opening = [word for text in PATTERNS for word in _words_of(text)]
    spelled = {_spelling(word, proper) for word in (*entries, *opening, *numerals.WORDS)}
    return tuple(sorted(word for word in spelled if word and any(c.isalpha() for c in word)))


_SPELLINGS = _spellings()
_ALONE = tuple(word for word in _SPELLINGS if word not in _HOMOPHONES)
VOCABULARY: frozenset[str] = frozenset(word.lower() for word in _SPELLINGS)
"""Every distinct word, in lower case; hyphenated numerals not counted beyond those in the lists."""
