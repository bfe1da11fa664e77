import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.word_segmentation import bare_words, split_words

TEXTS = st.text(
    st.one_of(
        st.sampled_from("ab1 .,!'-\n 「」（）。、世界のカーไทยเก่าລາວខ្មែရမြန်မာ\u200b\u3000é\u0301"),  # noqa: RUF001  # as they are written
        st.characters(codec="utf-8"),
    ),
    max_size=40,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (" What is six, plus?", [" What", " is", " six,", " plus?"]),
        ("well-known “words”  twice ", ["well-known", " “words”", "  twice "]),
        ("今天,天气。好", ["今", "天,", "天", "气。", "好"]),
        ("他说「好」(对)", ["他", "说", "「好」", "(对)"]),
        ("「はい」とカード", ["「は", "い」", "と", "カ", "ー", "ド"]),
        ("iPhone的3个 new样", ["iPhone", "的", "3", "个", " new", "样"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("ខ្មែរ", ["ខ្មែ", "រ"]),
        ("မြန်", ["မြ", "န်"]),
        ("ပ်တို့", ["ပ်", "တို့"]),  # the asat ends a syllable
        ("သင်္ဘော", ["သ", "င်္ဘော"]),  # and the virama after it stacks the next letter
        ("ကမ္ဘာ", ["က", "မ္ဘာ"]),
        ("สฺวา", ["สฺ", "ว", "า"]),  # the phinthu of Pali stacks nothing
        ("ពេទ្យ", ["ពេ", "ទ្យ"]),
        ("한국어 말", ["한국어", " 말"]),
        (" ...世", [" ...世"]),
        ("  ", ["  "]),
        ("", []),
    ],
)
def test_words_are_runs_without_spaces_or_characters_where_a_script_has_none(
    text: str, words: list[str]
) -> None:
    assert split_words(text) == words


@given(TEXTS)
def test_words_joined_are_the_text(text: str) -> None:
    assert "".join(split_words(text)) == text


@given(TEXTS)
def test_no_word_is_blank_or_begins_with_what_belongs_to_the_one_before(text: str) -> None:
    words = split_words(text)
    assert all(w.strip() for w in words) or len(words) == 1
    assert not any(unicodedata.category(w[0])[0] == "M" for w in words[1:])


@given(TEXTS, TEXTS)
def test_what_follows_changes_no_word_but_the_last(text: str, more: str) -> None:
    words = split_words(text)
    assert split_words(text + more)[: len(words) - 1] == words[:-1]


def test_bare_words_keep_the_marks_of_their_letters() -> None:
    assert bare_words('(Asterisk), "don\'t" — हिन्दी, नमस्ते। $5 ...') == [
        "Asterisk",
        "don't",
        "हिन्दी",
        "नमस्ते",
        "5",
    ]
