from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model.synthesis import numerals
from tests.small_model.synthesis.numerals import cardinal, ordinal


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety-nine"),
        (100, "one hundred"),
        (205, "two hundred and five"),
        (1000, "one thousand"),
        (2134, "two thousand one hundred and thirty-four"),
        (9999, "nine thousand nine hundred and ninety-nine"),
    ],
)
def test_cardinals_in_words(n: int, words: str) -> None:
    assert cardinal(n) == words


def test_cardinals_without_joiner() -> None:
    assert cardinal(1042, joiner="") == "one thousand forty-two"


@pytest.mark.parametrize("n", [-1, 10_000])
def test_cardinals_beyond_four_digits_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 9,999"):
        cardinal(n)


@given(st.integers(0, 9999), st.integers(0, 9999))
def test_no_two_cardinals_share_words(a: int, b: int) -> None:
    assert (cardinal(a) == cardinal(b)) == (a == b)


@pytest.mark.parametrize(
    ("n", "words"),
    [(1, "first"), (12, "twelfth"), (20, "twentieth"), (23, "twenty-third")],
)
def test_ordinals_in_words(n: int, words: str) -> None:
    assert ordinal(n) == words


@given(st.integers(0, 2**32))
def test_times_and_dates_hold_no_figures(seed: int) -> None:
    rng = Random(seed)
    spoken = (numerals.time(rng), numerals.date(rng), numerals.year(rng), numerals.number(rng))
    assert not any(c.isdigit() for text in spoken for c in text)
