"""Spellings that a reader takes for the same, brought to one form, by language.

What Unicode holds to be equal (NFKC) is one form everywhere. Beyond that, languages have pairs that keyboards
and fonts make and no reader tells apart, and marks that most texts leave out. Marks that carry meaning stay.
"""

import re
import unicodedata

_APOSTROPHES = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201b\u02b9\u02bb\u02bc\u05f3\u055a\u2032\ua78c\uff07\u00b4`", "'")
    | dict.fromkeys("\u1fbd\u1fbf\u1fef\u1ffd\u1ffe", "'")  # Greek
)
"""Quotation marks, modifier letters, primes, lone accents and breathings, the full-width form: keyboards
differ in them.
"""
_TURKIC_CASE = str.maketrans({"I": "\u0131", "\u0130": "i"})
_TURKIC_LANGUAGES = frozenset({"tr", "az"})

_INVISIBLE = "[\u034f\ufe00-\ufe0f\U000e0100-\U000e01ef]"  # variation selectors, grapheme joiner
_POINTS = (
    "[\u0591-\u05bd\u05bf-\u05c7"  # Hebrew points
    "\u0610-\u061a\u0640\u064b-\u0652\u0670"  # Arabic signs, tatweel, short vowels
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"  # signs of recitation
)
_CHILLUS = zip("\u0d23\u0d28\u0d30\u0d32\u0d33\u0d15", "\u0d7a\u0d7b\u0d7c\u0d7d\u0d7e\u0d7f", strict=True)
_TONES = "([\u0300\u0301\u0303\u0309\u0323])"

_ANUSVARA_BLOCKS = {"hi": 0x900, "mr": 0x900, "ne": 0x900, "sa": 0x900, "gu": 0xA80, "te": 0xC00, "kn": 0xC80}


def _anusvara(block: int) -> tuple[tuple[str, str], ...]:
    """Write the anusvara for the nasal of its consonant's class; before nasals, both are written.

    The letters have the same places in the Unicode block of each script of India.
    """
    virama, anusvara = chr(block + 0x4D), chr(block + 0x02)
    classes = ((0x19, 0x15), (0x1E, 0x1A), (0x23, 0x1F), (0x28, 0x24), (0x2E, 0x2A))  # nasal, first of four
    return tuple(
        (f"{chr(block + nasal)}{virama}(?=[{chr(block + first)}-{chr(block + first + 3)}])", anusvara)
        for nasal, first in classes
    )


_RULES: dict[str | None, tuple[tuple[str, str], ...]] = {
    None: (
        (_INVISIBLE, ""),
        ("i\u0307", "i"),  # what lowers from a dotted capital I
        ("\u0e40\u0e40", "\u0e41"),  # Thai and Lao: two E for AE
        ("\u0ec0\u0ec0", "\u0ec1"),
        ("([\u0e48-\u0e4c])([\u0e31\u0e34-\u0e37\u0e47])", "\\2\\1"),  # their tones before their vowels
        ("([\u0ec8-\u0ecc])([\u0eb1\u0eb4-\u0eb7\u0ebb])", "\\2\\1"),
        ("\u0e4d([\u0e48-\u0e4b])\u0e32", "\\1\u0e4d\u0e32"),  # Thai and Lao AM around its tone
        ("\u0ecd([\u0ec8-\u0ecb])\u0eb2", "\\1\u0ecd\u0eb2"),
        # Bengali khanda ta and Malayalam chillus, which older texts write with a joiner
        ("\u09a4\u09cd\u200d", "\u09ce"),
        *((f"{letter}\u0d4d\u200d", chillu) for letter, chillu in _CHILLUS),
        ("(?<=[\u0900-\u097f]):(?=[\u0900-\u097f])", "\u0903"),  # a colon for the visarga
        ("\u0671", "\u0627"),  # the alef of a joined article
        ("\u06c0", "\u0647\u0654"),  # heh with a hamza
        ("\u05f0", "\u05d5\u05d5"),  # Yiddish letters that are two in one
        ("\u05f1", "\u05d5\u05d9"),
        ("\u05f2", "\u05d9\u05d9"),
    ),
    "ar": (("\u06a9", "\u0643"), ("\u06cc", "\u064a")),  # letters of Persian keyboards
    "fa": (("\u0643", "\u06a9"), ("[\u064a\u0649]", "\u06cc")),  # letters of Arabic keyboards
    "ps": (("\u0643", "\u06a9"), ("\u0649", "\u06cc"), ("\u06af", "\u06ab")),  # its two yehs differ
    "ur": (("\u0643", "\u06a9"), ("[\u064a\u0649]", "\u06cc"), ("\u0647", "\u06c1"), ("\u0629", "\u06c3")),
    "fr": (("\u0153", "oe"), ("\u00e6", "ae")),
    **{language: _anusvara(block) for language, block in _ANUSVARA_BLOCKS.items()},
    "ro": (("\u015f", "\u0219"), ("\u0163", "\u021b")),  # cedillas for commas
    "ru": (("\u0451", "\u0435"),),  # the dots, which most texts leave out
    "haw": (("'(?=[aeiou\u0101\u0113\u012b\u014d\u016b])", "\u02bb"),),  # a letter, not a quotation mark
    "uz": (("(?<=[og])'", "\u02bb"),),
}
_COMPILED = {
    language: [(re.compile(pattern), replacement) for pattern, replacement in rules]
    for language, rules in _RULES.items()
}
_OPTIONAL_MARKS = re.compile(_POINTS)
_POINTED_LANGUAGES = frozenset({"yi"})  # there, points tell letters apart
_TONE_BEFORE = re.compile(f"o{_TONES}([ae])(?![\\w\u0300-\u036f])|u{_TONES}(y)(?![\\w\u0300-\u036f])")


def one_spelling(text: str, language: str | None = None) -> str:
    """Return `text` in folded case and with one form of each spelling that `language` has several of."""
    plain = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES))
    if language in _TURKIC_LANGUAGES:
        plain = plain.translate(_TURKIC_CASE)
    folded = unicodedata.normalize("NFKC", plain.replace("\u0130", "i").casefold())
    for pattern, replacement in (*_COMPILED[None], *_COMPILED.get(language, ())):
        folded = pattern.sub(replacement, folded)
    if language == "vi":
        folded = _tones_on_the_last_vowel(folded)
    if language not in _POINTED_LANGUAGES:
        folded = _OPTIONAL_MARKS.sub("", folded)
    return unicodedata.normalize("NFKC", folded)


def straight_apostrophes(text: str) -> str:
    """Return `text` with the ASCII apostrophe in place of its other forms."""
    return text.translate(_APOSTROPHES)


def _tones_on_the_last_vowel(text: str) -> str:
    """Move the tone in open oa, oe and uy, where Vietnamese has it on either vowel (`hòa`, `hoà`)."""
    apart = unicodedata.normalize("NFD", text)
    return _TONE_BEFORE.sub(lambda m: (m[2] and f"o{m[2]}{m[1]}") or f"u{m[4]}{m[3]}", apart)
