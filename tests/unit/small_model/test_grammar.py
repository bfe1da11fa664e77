import re
from collections import Counter
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tests.small_model.synthesis.grammar import RANDOM_KINDS, SHARES, VOCABULARY, draw, sentence
from tests.small_model.synthesis.lexicon import PATTERNS
from tests.small_model.synthesis.numerals import DIGITS

SEEDS = st.integers(min_value=0, max_value=2**32)
DRAWS = 4_000


def lines(count: int = DRAWS) -> list[str]:
    rng = Random(7)
    return [sentence(rng) for _ in range(count)]


def bare(text: str) -> list[str]:
    words = (word.rstrip(".,?!").removesuffix("'s") for word in text.lower().split())
    return [word + "." if word in ("a.m", "p.m") else word for word in words]


@given(SEEDS)
def test_texts_hold_only_words_spaces_and_plain_marks(seed: int) -> None:
    text = sentence(Random(seed))
    assert re.fullmatch(r"[A-Za-z][A-Za-z.,?!' -]*", text)
    assert text == " ".join(text.split())
    assert all(re.search("[A-Za-z]", word) for word in text.split())
    assert not re.search(r"[.,?!]{2}", text)


@given(SEEDS)
def test_same_seed_gives_same_text(seed: int) -> None:
    assert draw(Random(seed)) == draw(Random(seed))


@given(SEEDS)
def test_digit_strings_are_two_to_seven_bare_digits(seed: int) -> None:
    line = draw(Random(seed), {"digits": 1.0})
    assert 2 <= len(line.text.split()) <= 7
    assert set(line.text.split()) <= set(DIGITS)


@given(SEEDS)
def test_random_orders_and_sentences_start_with_a_capital_and_end_with_a_mark(seed: int) -> None:
    text = draw(Random(seed), {"sentence": 1.0, "shuffle": 1.0, "mixture": 1.0}).text
    assert text[0].isupper()
    assert text[-1] in ".?!"


def test_vocabulary_has_at_least_550_words() -> None:
    assert len(VOCABULARY) >= 550


def test_every_word_spoken_is_of_the_vocabulary_or_a_hyphenated_numeral() -> None:
    spoken = {word for text in lines() for word in bare(text) if word not in VOCABULARY}
    assert all(set(word.split("-")) <= VOCABULARY for word in spoken), spoken


def test_most_of_the_vocabulary_is_spoken() -> None:
    spoken = {word for text in lines() for word in bare(text)}
    assert len(spoken & VOCABULARY) > 0.98 * len(VOCABULARY)


def test_more_than_a_third_of_the_texts_are_random_orders() -> None:
    rng = Random(11)
    kinds = Counter(draw(rng).kind for _ in range(DRAWS))
    assert sum(kinds[kind] for kind in RANDOM_KINDS) / DRAWS >= 1 / 3
    assert kinds["digits"] / DRAWS > 0.2


def test_shuffled_words_cannot_be_distinguished_from_the_word_before() -> None:
    rng = Random(5)
    pairs = Counter[tuple[str, str]]()
    for _ in range(DRAWS):
        words = bare(draw(rng, {"shuffle": 1.0}).text)
        pairs.update(pairwise(words))
    assert pairs.most_common(1)[0][1] < 6  # of some 20,000 pairs
    followers = Counter(first for first, _ in pairs)
    assert min(followers.values()) > 5


def test_shares_add_up_to_one() -> None:
    assert abs(sum(SHARES.values()) - 1.0) < 1e-9


def test_patterns_are_closed_by_one_mark() -> None:
    assert all(re.search(r"[^.?!][.?!]$", text) for text in PATTERNS)
