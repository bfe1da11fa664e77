import json
import unicodedata
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL_INT8
from tokenizers import Tokenizer

from voxray.whisper.tokens import Tokens
from voxray.whisper.words import split_words, token_starts, word_times

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


@given(st.text("abc de世界é🙂ไทย ", max_size=20))
def test_a_token_begins_where_the_text_before_it_ends(tokens: Tokens, text: str) -> None:
    ids = tokens.encode(text)
    starts = token_starts(tokens, ids)
    before = [tokens.decode(ids[:k]) for k in range(len(ids))]
    assert starts == sorted(starts)
    assert all(text[:at] == b for at, b in zip(starts, before, strict=True) if "\ufffd" not in b)
    assert all(b.startswith(text[:at]) for at, b in zip(starts, before, strict=True))


def alignment(steps: int, probabilities: list[float]) -> SimpleNamespace:
    """CTranslate2's result for tokens that last `steps` encoder positions (of 20 ms) each."""
    path = [(k, steps * k + f) for k in range(len(probabilities) + 1) for f in range(steps)]
    return SimpleNamespace(alignments=path, text_token_probs=probabilities)


def test_a_word_has_the_times_of_its_tokens_inside_the_window(tokens: Tokens) -> None:
    first, second = tokens.encode(" kitchen"), tokens.encode(" light")
    probabilities = [0.5] * len(first) + [0.25] * len(second)

    found = word_times(tokens, [*first, *second], alignment(10, probabilities), 0.2 * len(first) + 0.1)

    assert [w.text for w in found] == [" kitchen", " light"]
    assert [w.probability for w in found] == [0.5, 0.25]
    times = [t for w in found for t in (w.start_s, w.end_s)]
    assert times == pytest.approx([0.0, 0.2 * len(first), 0.2 * len(first), 0.2 * len(first) + 0.1])


@pytest.mark.parametrize("text", ["今天天气", "こんにちは", "ที่นี่"])
def test_words_of_scripts_without_spaces_are_timed_by_character(tokens: Tokens, text: str) -> None:
    ids = tokens.encode(text)

    found = word_times(tokens, ids, alignment(10, [0.5] * len(ids)), 30.0)

    assert [w.text for w in found] == split_words(text)
    assert len({w.start_s for w in found}) == len(found) > 1
    assert all(a.end_s == b.start_s < b.end_s for a, b in pairwise(found))


def test_words_that_share_a_token_share_its_time() -> None:
    special = "<|endoftext|> <|startoftranscript|> <|startofprev|> <|nospeech|> <|notimestamps|>".split()
    vocab = {word: i for i, word in enumerate(["世界", "人", *special])}
    model = {"type": "WordLevel", "vocab": vocab, "unk_token": "人"}
    spec = {"version": "1.0", "added_tokens": [], "model": model, "decoder": {"type": "Fuse"}}
    tokens = Tokens.of(Tokenizer.from_str(json.dumps(spec)))

    found = word_times(tokens, [0, 1], alignment(10, [0.5, 1.0]), 2.0)

    assert [(w.text, w.start_s, w.end_s, w.probability) for w in found] == [
        ("世", 0.0, 0.0, 0.5),
        ("界", 0.0, 0.2, 0.5),
        ("人", 0.2, 0.4, 1.0),
    ]
