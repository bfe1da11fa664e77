import json
import pickle
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL, SMALL_MODEL_INT8
from tokenizers import Tokenizer

from voxray.errors import ModelError
from voxray.whisper.tokens import GPT2_END, Tokens

TOKENS = Tokens.load(SMALL_MODEL)


def name(token: int) -> str:
    return str(TOKENS.tokenizer.id_to_token(token))


def test_special_tokens_are_found_by_name() -> None:
    assert [name(t) for t in (TOKENS.end, TOKENS.start, TOKENS.previous, TOKENS.no_timestamps)] == [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|startofprev|>",
        "<|notimestamps|>",
    ]
    assert name(TOKENS.no_speech) in ("<|nospeech|>", "<|nocaptions|>")
    assert name(TOKENS.tasks["translate"]) == "<|translate|>"
    assert name(TOKENS.language("de")) == "<|de|>"


def test_both_forms_of_the_small_model_have_the_same_tokens() -> None:
    int8 = Tokens.load(SMALL_MODEL_INT8)

    assert (int8.end, int8.tasks, int8.languages) == (TOKENS.end, TOKENS.tasks, TOKENS.languages)


def test_a_prompt_names_language_and_task() -> None:
    assert [name(t) for t in TOKENS.prompt("de", "translate")] == [
        "<|startoftranscript|>",
        "<|de|>",
        "<|translate|>",
        "<|notimestamps|>",
    ]
    assert [name(t) for t in TOKENS.prompt(timestamps=True)] == [
        "<|startoftranscript|>",
        "<|en|>",
        "<|transcribe|>",
    ]


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(ModelError, match="language 'klingon'"):
        TOKENS.prompt("klingon")


@given(st.floats(-5, 40))
def test_timestamps_are_rounded_to_a_fiftieth_and_stay_inside_the_window(seconds: float) -> None:
    token = TOKENS.timestamp(seconds)

    assert TOKENS.is_timestamp(token)
    assert 0 <= TOKENS.seconds(token) <= 30
    assert abs(TOKENS.seconds(token) - min(max(seconds, 0), 30)) <= 0.01 + 1e-9
    assert name(token) == f"<|{TOKENS.seconds(token):.2f}|>"


@given(st.text("abcdefghijklmnopqrstuvwxyz ,.?!'0123456789", max_size=40))
def test_text_survives_encoding_and_decoding(text: str) -> None:
    ids = TOKENS.encode(text)

    assert TOKENS.decode(ids) == text
    assert TOKENS.decode([TOKENS.start, *ids, TOKENS.timestamp(2.0), TOKENS.end]) == text


def test_special_names_inside_a_text_are_found_nowhere_in_plain_words() -> None:
    assert all(t < TOKENS.end for t in TOKENS.encode(" Turn on the kitchen light."))


def test_tokens_survive_pickling() -> None:
    again = pickle.loads(pickle.dumps(TOKENS))

    assert again.encode(" seven") == TOKENS.encode(" seven")
    assert again.languages == TOKENS.languages


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected a fast tokenizer \(tokenizer\.json\), got none"):
        Tokens.load(tmp_path)


def test_a_tokenizer_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("no tokenizer")

    with pytest.raises(
        ModelError, match=r"tokenizer\.json: expected a fast tokenizer, got a file that cannot be read"
    ):
        Tokens.load(tmp_path)


def vocabulary(*words: str) -> Tokenizer:
    return Tokenizer.from_str(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [],
                "model": {
                    "type": "WordLevel",
                    "vocab": {w: i for i, w in enumerate(words)},
                    "unk_token": "?",
                },
            }
        )
    )


def test_a_tokenizer_that_is_not_whispers_is_named() -> None:
    with pytest.raises(ModelError, match=r"expected Whisper's token <\|endoftext\|>"):
        Tokens.of(vocabulary("?", "a"))


SPECIAL = (
    "<|endoftext|> <|startoftranscript|> <|en|> <|de|> <|translate|> <|transcribe|> <|startofprev|>".split()
)
SPECIAL += ["<|nocaptions|>", "<|notimestamps|>"]


def test_numbers_are_never_assumed() -> None:
    tokens = Tokens.of(vocabulary("?", "x", *SPECIAL))

    assert (tokens.end, tokens.start, tokens.no_speech) == (2, 3, 9)
    assert tokens.languages == {"en": 4, "de": 5}
    assert tokens.first_timestamp == 11


def test_english_only_models_have_no_language_in_their_prompts_though_in_their_vocabulary() -> None:
    english = Tokens.of(vocabulary(*(f"w{i}" for i in range(GPT2_END)), *SPECIAL))

    assert not english.multilingual
    assert english.prompt("en") == [english.start, english.no_timestamps]


@pytest.mark.parametrize("multilingual", [True, False])
def test_what_the_model_states_of_itself_goes_first(multilingual: bool, tmp_path: Path) -> None:
    shutil.copy(SMALL_MODEL / "tokenizer.json", tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"is_multilingual": multilingual}))

    assert Tokens.load(tmp_path).multilingual is multilingual
