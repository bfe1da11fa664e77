"""Texts for a student to hear."""

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.benchmarks.student_texts import (
    PARAGRAPH_WORDS,
    RARE,
    addresses,
    description_sentences,
    for_rare_words,
    menu,
    paragraphs,
    symbol,
    wordnet_sentences,
    words,
)

seeds = st.integers(0, 2**32)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "usr/share/wordnet"
    folder.mkdir(parents=True)
    (folder / "data.noun").write_text(
        '00001 00 n 01 dog 0 | a kind of animal; "the dog barked all night"; "it cost $5 in all of them"\n'
        '00002 00 n 01 cat 0 | another; "a cat"; "was it the cat that you fed?"\n'
        '  1 the licence says "nothing that is an example here"\n',
        encoding="latin-1",
    )
    return tmp_path


def test_examples_become_sentences_and_what_cannot_be_read_aloud_is_left_out(packages: Path) -> None:
    assert wordnet_sentences(packages) == ["The dog barked all night.", "Was it the cat that you fed?"]


def test_descriptions_are_plain_sentences_of_words_that_are_in_two() -> None:
    text = (
        "Package: one\nDescription-en: a tool\n It reads the files of a folder. It reads them\n"
        " in the order of a folder.\n .\n It reads the xyzzy of a folder.\n"
        " GNU reads the  files of a folder.\n\n"
        "Package: two\nDescription-en: two\n It reads the files in the order of them.\n"
    )
    assert description_sentences(text) == [
        "It reads the files of a folder.",
        "It reads them in the order of a folder.",
        "It reads the files in the order of them.",
    ]


def test_sentences_with_a_word_that_was_heard_too_rarely_are_chosen_until_it_was_heard_enough() -> None:
    rare = [f"The lantern number {n}." for n in range(2 * RARE)]
    heard = ["The number was right."] * RARE
    assert for_rare_words(rare, heard) == rare[:RARE]


@given(st.lists(st.integers(1, 16), max_size=40), seeds)
def test_paragraphs_hold_the_sentences_in_their_order(lengths: list[int], seed: int) -> None:
    sentences = [" ".join([f"s{n}"] * length) for n, length in enumerate(lengths)]
    made = list(paragraphs(sentences, Random(seed)))
    assert " ".join(sentences).startswith(" ".join(made))
    least, most = PARAGRAPH_WORDS
    assert all(least <= len(text.split()) < most + 16 for text in made)


@given(seeds)
def test_a_menu_has_two_to_six_options_with_different_keys(seed: int) -> None:
    text = menu(Random(seed))
    keys = re.findall(r"(?:press|dial|say) (\d|zero|star|pound)\b", text.lower())
    assert 2 <= len(keys) <= 6
    assert len(set(keys)) == len(keys)
    assert text == menu(Random(seed))


@given(seeds)
def test_a_symbol_is_named_in_a_few_words(seed: int) -> None:
    assert 1 <= len(words(symbol(Random(seed)))) <= 6


def test_each_address_is_spoken_once() -> None:
    homes = "https://www.b.org/x", "http://www.a.net", "https://www.b.org", "x.y"
    pages = "".join(f"Homepage: {home}\n" for home in homes)
    first, second = addresses(pages, Random(0))
    assert "www.a.net" in first
    assert "www.b.org" in second
