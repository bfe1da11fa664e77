"""What is taken for a loop, and where it is cut off."""

import pytest
from tests.prose import PROSE, THANKS
from tests.small_model import SMALL_MODEL_INT8

from voxray.whisper.loops import most_tokens, repeats, without_loop
from voxray.whisper.tokens import Tokens

SENTENCE = " Turn on the kitchen light at a quarter to seven and play the last song."
BURMESE = " ငါးဆယ့်ရှစ်ခုမြောက်အခန်းမီးကိုဖွင့်ပါ"


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens.load(SMALL_MODEL_INT8)


@pytest.mark.parametrize(
    ("text", "seconds", "loops"),
    [
        (SENTENCE, 3.0, False),
        (SENTENCE * 8, 30.0, True),  # too compressible
        (SENTENCE * 2, 8.0, False),  # said twice
        (
            PROSE["en"][:160] + " thank you very much" * 6,
            30.0,
            True,
        ),
        ("我们先看一下这个问题。" + "我不知道。" * 12, 30.0, True),
        (" so" * 224, 30.0, True),
        (" six six six six six six six six", 3.0, False),  # said
        (
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" * 2,
            1.0,
            True,
        ),  # more than anyone says
        (BURMESE, 2.0, False),  # more tokens than a Latin text of its length
        *((prose, 25.0, False) for prose in PROSE.values()),
        *((prose[:80] + 20 * THANKS[language], 25.0, True) for language, prose in PROSE.items()),
        ("", 0.1, False),
    ],
)
def test_a_loop_is_compressible_or_longer_than_speech(
    text: str, seconds: float, loops: bool, tokens: Tokens
) -> None:
    assert repeats(tokens, tokens.encode(text), seconds) is loops


def test_scripts_of_many_tokens_are_not_taken_for_loops(tokens: Tokens) -> None:
    assert len(tokens.encode(BURMESE)) > most_tokens(2.0)


@pytest.mark.parametrize("seconds", [2.0, 9.0, 30.0])
@pytest.mark.parametrize("loop", [" so", " thank you", " and then we go on and on"])
def test_a_loop_is_cut_off_where_it_begins(loop: str, seconds: float, tokens: Tokens) -> None:
    ids = tokens.encode(SENTENCE + loop * (400 // len(loop)))
    kept = without_loop(tokens, ids, seconds)

    assert kept == tuple(ids[: len(kept)])
    assert not repeats(tokens, kept, seconds)
    assert tokens.decode(kept).startswith(SENTENCE)
    assert len(tokens.decode(kept)) <= len(SENTENCE) + 3 * len(loop)


def test_a_text_without_end_is_cut_to_what_can_be_said(tokens: Tokens) -> None:
    ids = tokens.encode("".join(f" {chr(97 + i % 26)}{i}" for i in range(300)))
    kept = without_loop(tokens, ids, 5.0)

    assert 0 < len(tokens.decode(kept)) <= 30 * 5 + 60
