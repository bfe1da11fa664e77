import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL_INT8

from voxray.serving.transcriber.words import cut, timed, token_starts
from voxray.whisper.tokens import Tokens

TEXTS = st.text(
    st.one_of(
        st.sampled_from("ab1 .,!'-\n 「」（）。、世界のカーไทยเก่าລາວខ្មែရမြန်မာ\u200b\u3000é\u0301"),  # noqa: RUF001  # as they are written
        st.characters(codec="utf-8"),
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens.load(SMALL_MODEL_INT8)


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
        ("한국어 말", ["한국어", " 말"]),
        (" ...世", [" ...世"]),
        ("  ", ["  "]),
        ("", []),
    ],
)
def test_words_are_runs_without_spaces_or_characters_where_a_script_has_none(
    text: str, words: list[str]
) -> None:
    assert cut(text) == words


@given(TEXTS)
def test_words_joined_are_the_text(text: str) -> None:
    assert "".join(cut(text)) == text


@given(TEXTS)
def test_no_word_is_blank_or_begins_with_what_belongs_to_the_one_before(text: str) -> None:
    words = cut(text)
    assert all(w.strip() for w in words) or len(words) == 1
    assert not any(unicodedata.category(w[0])[0] == "M" for w in words[1:])


@given(TEXTS, TEXTS)
def test_what_follows_changes_no_word_but_the_last(text: str, more: str) -> None:
    words = cut(text)
    assert cut(text + more)[: len(words) - 1] == words[:-1]


@given(st.text("abc de世界é🙂ไทย ", max_size=20))
def test_a_token_begins_where_the_text_before_it_ends(tokens: Tokens, text: str) -> None:
    ids = tokens.encode(text)
    starts = token_starts(tokens, ids)
    before = [tokens.decode(ids[:k]) for k in range(len(ids))]
    assert starts == sorted(starts)
    assert all(text[:at] == b for at, b in zip(starts, before, strict=True) if "\ufffd" not in b)
    assert all(b.startswith(text[:at]) for at, b in zip(starts, before, strict=True))


def test_a_word_has_the_times_of_its_tokens_inside_the_window() -> None:
    heard = timed(["ab", " c", " d"], [0, 1, 2, 4], [0.0, 0.5, 1.0, 1.5, 9.0], [1.0, 0.5, 0.2, 0.4], 1.8)

    assert [(w.start_s, w.end_s, w.probability) for w in heard] == [
        (0.0, 1.0, 0.75),
        (1.0, 1.5, 0.2),
        (1.5, 1.8, 0.4),
    ]


def test_words_that_share_a_token_share_its_time_and_parts_of_a_character_are_one() -> None:
    heard = timed(["世", "界", "人"], [0, 2, 2], [0.1, 0.2, 0.3, 0.4], [0.5, 1.0, 0.0], 2.0)

    assert [(w.text, w.start_s, w.end_s, w.probability) for w in heard] == [
        ("世", 0.1, 0.1, 0.5),
        ("界", 0.1, 0.2, 0.5),
        ("人", 0.2, 0.4, 0.5),
    ]
