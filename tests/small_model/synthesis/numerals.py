"""Numbers, times of day and dates in words, as people speak them."""

from random import Random

from tests.small_model.synthesis.lexicon import MONTHS, SLOTS

DIGITS = tuple("zero one two three four five six seven eight nine".split())
_TEENS = tuple("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split())
_TENS = tuple("twenty thirty forty fifty sixty seventy eighty ninety".split())
LARGEST = 9_999

_IRREGULAR_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(n: int, *, joiner: str = "and") -> str:
    """`n` (0 to 9,999) in words: 2134 is "two thousand one hundred and thirty-four".

    `joiner` stands before the last two digits of numbers above one hundred; "" leaves it out.
    """
    if not 0 <= n <= LARGEST:
        raise ValueError(f"expected a number from 0 to {LARGEST:,}, and got {n}")
    if n < 100:
        return _below_hundred(n)
    thousands, hundreds = divmod(n, 1000)
    hundreds, rest = divmod(hundreds, 100)
    words = [f"{DIGITS[thousands]} thousand"] if thousands else []
    words += [f"{DIGITS[hundreds]} hundred"] if hundreds else []
    if rest:
        words += [joiner] if joiner else []
        words.append(_below_hundred(rest))
    return " ".join(words)


def _below_hundred(n: int) -> str:
    if n < 10:
        return DIGITS[n]
    if n < 20:
        return _TEENS[n - 10]
    tens, ones = divmod(n, 10)
    return _TENS[tens - 2] + (f"-{DIGITS[ones]}" if ones else "")


def ordinal(n: int) -> str:
    """`n` (1 to 99) as a rank in words: 23 is "twenty-third"."""
    head, dash, last = _below_hundred(n).rpartition("-")
    if last in _IRREGULAR_ORDINALS:
        rank = _IRREGULAR_ORDINALS[last]
    elif last.endswith("y"):
        rank = last[:-1] + "ieth"
    else:
        rank = last + "th"
    return head + dash + rank


def number(rng: Random) -> str:
    """A number to 9,999, each count of digits about as likely as the others."""
    low, high = rng.choice(((0, 20), (20, 99), (100, 999), (1000, LARGEST)))
    n = rng.randint(low, high)
    if n >= 100 and rng.random() < 0.25:
        n -= n % 100  # round numbers are commoner in speech than chance makes them
    return cardinal(n, joiner=rng.choice(("and", "")))


def digits(rng: Random) -> str:
    """A string of 2 to 7 digits, one word each."""
    return " ".join(rng.choice(DIGITS) for _ in range(rng.randint(2, 7)))


def time(rng: Random) -> str:
    """A time of day: "half past seven", "seven fifteen p.m.", "ten to four"."""
    hour = cardinal(rng.randint(1, 12))
    style = rng.randrange(5)
    if style == 0:
        return f"{rng.choice(('half past', 'quarter past', 'quarter to'))} {hour}"
    if style == 1:
        return f"{cardinal(rng.choice((5, 10, 20, 25)))} {rng.choice(('past', 'to'))} {hour}"
    if style == 2:
        return rng.choice((f"{hour} o'clock", "noon", "midnight", f"{hour} o'clock sharp"))
    minute = rng.randint(1, 59)
    minutes = f"oh {DIGITS[minute]}" if minute < 10 else cardinal(minute)
    return f"{hour} {minutes}" + rng.choice(("", " a.m.", " p.m."))


def year(rng: Random) -> str:
    """A year from 1950 to 2039, in pairs of digits or in thousands."""
    n = rng.randint(1950, 2039)
    if n < 2000:
        return f"nineteen {cardinal(n % 100) if n % 100 >= 10 else 'oh ' + DIGITS[n % 10]}"
    if n < 2010 or rng.random() < 0.3:
        return cardinal(n, joiner=rng.choice(("and", "")))
    return f"twenty {cardinal(n % 100)}"


def date(rng: Random) -> str:
    """A day, month, and sometimes a weekday or a year: "Friday, the third of May"."""
    month = rng.choice(MONTHS)
    day = ordinal(rng.randint(1, 31))
    text = rng.choice((f"the {day} of {month}", f"{month} {day}", f"{month} the {day}"))
    if rng.random() < 0.25:
        return f"{rng.choice(SLOTS['weekday'])}, {text}"
    return text + (f", {year(rng)}" if rng.random() < 0.4 else "")


WORDS = frozenset(
    (
        *DIGITS,
        *_TEENS,
        *_TENS,
        *(ordinal(n) for n in range(1, 21)),
        *"thirtieth hundred thousand and oh half quarter past to o'clock sharp noon midnight".split(),
        *"a.m. p.m. the of".split(),
    )
)
"""Every word that stands alone in a numeral; hyphenated ones are built of these."""
