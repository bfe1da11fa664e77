"""Texts for a student to hear: sentences, paragraphs, telephone menus, names of symbols, web addresses.

The sentences are WordNet's examples (Debian's `wordnet-base`) and descriptions of Debian's packages, none of
which was written for telephones; all is drawn by a generator that is given.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random

PARAGRAPH_WORDS = (22, 42)  # 8 to 20 s of speech
MENU_OPTIONS = (2, 6)
RARE = 4  # times that a word is wanted in all

_EXAMPLE = re.compile(r'"([^"]+)"')
_UNSPOKEN = re.compile(r"[^A-Za-z' ,;?!.\-]")
_PLAIN = re.compile(r"[A-Z][a-z ,'-]+[.]")
_WORD = re.compile(r"[a-z']+")
_KEYS = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "zero", "star", "pound")
_VERBS = (
    "listen to|save|delete|forward|hear|change|record|skip|repeat|cancel|confirm|review|send|replace|"
    "activate|return|rename|open|close|print|check|update|move|copy|mark|archive|play back|look up|order|"
    "pay for|leave|edit|read|rate|sort|block|extend|share|undo|pause|resume|start|stop"
).split("|")
_OBJECTS = (
    "the recording|your order|the invoice|a new address|the list of rooms|your appointment|"
    "the weather report|this number|the previous entry|your account|the price list|all new letters|"
    "the second line|the opening hours|your delivery|the ticket|that caller|your reservation|"
    "the announcement|the whole folder|this reminder|the last payment|a short summary|the alarm clock|"
    "your pin code|the guest list|our newsletter|her calendar|the shared line|a language|the next song|"
    "a note for the owner|the conference|a callback|a different extension|the caller's number|"
    "your greeting|the sales team|technical help|the front desk|your password|an old mailbox"
).split("|")
_OPTION_TEXTS = (
    "Press {key} to {verb} {object}",
    "To {verb} {object}, press {key}",
    "For {object}, dial {key}",
    "If you want to {verb} {object}, press {key}",
    "Dial {key} to {verb} {object}",
    "Say {key} to {verb} {object}",
)
_SYMBOLS = (
    "ampersand|at sign|backslash|slash|caret|colon|semicolon|comma|period|dollar sign|equals sign|"
    "exclamation mark|question mark|hash|pound sign|hyphen|dash|underscore|left bracket|right bracket|"
    "open parenthesis|close parenthesis|percent|plus|minus|quotation mark|apostrophe|tilde|vertical bar|"
    "less than|greater than|asterisk|star|space|dot|curly brace|number sign"
).split("|")
_SYMBOL_TEXTS = ("{}.", "Press {}.", "The {} key.", "Type {} and your name.", "Use {}, then wait.")

_ADDRESS_TEXTS = (
    "Visit {}.",
    "For more information, see {}.",
    "Please go to {} for help.",
    "You can find the program at {} at any time.",
    "{} has the rest.",
)


def wordnet_sentences(packages: Path) -> list[str]:
    """Return WordNet's examples of 4 to 16 plain words, sorted; `wordnet-base` is unpacked in `packages`."""
    found: set[str] = set()
    for file in sorted((packages / "usr/share/wordnet").glob("data.*")):
        for line in file.read_text(encoding="latin-1").splitlines():
            found.update(_sentence(example) for example in _EXAMPLE.findall(line.partition("|")[2]))
    return sorted(found - {""})


def _sentence(example: str) -> str:
    text = re.sub(r"\s*[-;]+\s*$", "", example.strip()).rstrip(" ,")
    if _UNSPOKEN.search(text) or not 4 <= len(text.split()) <= 16:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")


def description_sentences(translations: str) -> list[str]:
    """Return the plain sentences of 5 to 24 words in apt's `Translation-en`, each once, in their order.

    No names and no abbreviations: capitals only at the beginning, and words that are in two sentences.
    """
    paragraphs = re.sub(r"\n \.\n", "\n\n", translations).split("\n\n")
    joined = (
        " ".join(" ".join(line.split()) for line in p.splitlines() if line.startswith(" "))
        for p in paragraphs
    )
    sentences = (s.strip() for text in joined for s in re.split(r"(?<=[a-z]\.)\s+(?=[A-Z])", text))
    plain = dict.fromkeys(s for s in sentences if _PLAIN.fullmatch(s) and 5 <= len(s.split()) <= 24)
    known = Counter(word for sentence in plain for word in set(words(sentence)))
    return [s for s in plain if all(known[word] > 1 for word in words(s))]


def words(sentence: str) -> list[str]:
    """Return the words of `sentence` in small letters."""
    return _WORD.findall(sentence.lower())


def for_rare_words(sentences: Iterable[str], heard: Iterable[str]) -> list[str]:
    """Return the `sentences` with a word that neither `heard` nor those before have `RARE` times."""
    counts = Counter(word for sentence in heard for word in words(sentence))
    chosen = []
    for sentence in sentences:
        wanted = [w for w in set(words(sentence)) if len(w) > 3 and counts[w] < RARE]
        if wanted:
            chosen.append(sentence)
            counts.update(wanted)
    return chosen


def paragraphs(sentences: Sequence[str], rng: Random) -> Iterator[str]:
    """Join `sentences` in their order until a paragraph has enough words, for as long as they last."""
    parts: list[str] = []
    most = rng.randint(*PARAGRAPH_WORDS)
    for sentence in sentences:
        parts.append(sentence)
        if sum(len(part.split()) for part in parts) >= most:
            yield " ".join(parts)
            parts, most = [], rng.randint(*PARAGRAPH_WORDS)


def menu(rng: Random) -> str:
    """Return a telephone menu: options that begin alike, mostly with the keys in their order."""
    count = rng.randint(*MENU_OPTIONS)
    in_order = [*_KEYS[: count - 1], rng.choice(_KEYS[count - 1 :])]
    keys = rng.choice([in_order, rng.sample(_KEYS, count)])
    usual = rng.choice(_OPTION_TEXTS)
    options = [_option(key, usual if rng.random() < 0.8 else rng.choice(_OPTION_TEXTS), rng) for key in keys]
    start = rng.choice(["", "", "", "Welcome back. ", "Please choose. ", "Main menu. "])
    if rng.random() < 0.5:
        return f"{start}{'. '.join(options)}."
    first, *others = options
    return f"{start}{', '.join([first, *(option[0].lower() + option[1:] for option in others)])}."


def _option(key: str, form: str, rng: Random) -> str:
    return form.format(key=key, verb=rng.choice(_VERBS), object=rng.choice(_OBJECTS))


def symbol(rng: Random) -> str:
    """Return the name of a symbol on a keyboard, alone or in a few words."""
    text = rng.choice(_SYMBOL_TEXTS).format(rng.choice(_SYMBOLS))
    return text[0].upper() + text[1:]


def addresses(available: str, rng: Random) -> list[str]:
    """Return a sentence with each web address `www.WORD.org|com|net` in the `Homepage` fields of packages."""
    found = sorted(set(re.findall(r"Homepage: https?://(www\.[a-z]+\.(?:org|com|net))", available)))
    return [rng.choice(_ADDRESS_TEXTS).format(address) for address in found]
