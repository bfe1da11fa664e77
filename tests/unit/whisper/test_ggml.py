"""GGML files are what whisper.cpp loads, and models that it cannot load are refused before one is written."""

import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.small_model import SMALL_MODEL
from transformers import WhisperConfig, WhisperForConditionalGeneration

from voxray.errors import ExportError
from voxray.whisper.ggml import MAGIC, special_tokens, token_bytes, write_ggml
from voxray.whisper.models import hf_folder
from voxray.whisper.tokens import Tokens
from voxray.whisper.whisper_cpp import has_whisper_cpp

SIZES = {
    "vocab_size": 51864,
    "d_model": 64,
    "encoder_layers": 4,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 256,
    "decoder_ffn_dim": 256,
}


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    """OpenAI's English vocabulary."""
    return Tokens.load(hf_folder("tiny.en@stock"))


def model(**sizes: Any) -> Any:
    torch.manual_seed(0)
    return WhisperForConditionalGeneration(WhisperConfig(**SIZES | sizes))


def write(file: Path, model: Any, tokens: Tokens, kind: Any = "f16") -> Path:
    state = {name: weights.numpy() for name, weights in model.state_dict().items()}
    write_ggml(file, model.config, state, tokens, kind, "runs/model")
    return file


@pytest.mark.parametrize("kind", ["f16", "q8_0", "q5_0"])
def test_whisper_cpp_loads_a_student_with_fewer_decoder_layers(
    kind: str, tokens: Tokens, tmp_path: Path
) -> None:
    if not has_whisper_cpp():
        pytest.skip("needs whisper.cpp: pip install pywhispercpp")
    import _pywhispercpp as whisper_cpp
    from pywhispercpp.model import Model

    file = write(tmp_path / "student.bin", model(), tokens, kind)
    loaded: Any = Model(str(file), redirect_whispercpp_logs_to=None)  # it frees the context when it goes
    context = loaded._ctx

    assert whisper_cpp.whisper_model_n_audio_layer(context) == 4
    assert whisper_cpp.whisper_model_n_text_layer(context) == 2
    assert whisper_cpp.whisper_n_vocab(context) == 51864
    assert not whisper_cpp.whisper_is_multilingual(context)
    assert whisper_cpp.whisper_token_eot(context) == tokens.end
    assert whisper_cpp.whisper_token_to_bytes(context, 262) == b" the"


def test_the_head_of_a_file(tokens: Tokens, tmp_path: Path) -> None:
    head = write(tmp_path / "m.bin", model(), tokens, "q5_0").read_bytes()[: 4 * 14]

    assert struct.unpack("<I13i", head) == (MAGIC, 51864, 1500, 64, 2, 4, 448, 64, 2, 2, 80, 2008, 80, 201)


@pytest.mark.parametrize(
    ("token", "expected"), [("Ġthe", b" the"), ("Ċ", b"\n"), ("Ã©", "é".encode()), ("", b"")]
)
def test_tokens_are_written_as_the_bytes_that_they_stand_for(token: str, expected: bytes) -> None:
    assert token_bytes(token) == expected


@pytest.mark.parametrize(
    ("vocabulary", "end", "no_speech", "first_timestamp"),
    [(51864, 50256, 50361, 50363), (51865, 50257, 50362, 50364), (51866, 50257, 50363, 50365)],
)
def test_special_tokens_of_openai_vocabularies(
    vocabulary: int, end: int, no_speech: int, first_timestamp: int
) -> None:
    ids = special_tokens(vocabulary)

    assert ids["<|endoftext|>"] == end
    assert ids["<|nospeech|>"] == no_speech
    assert ids["<|0.00|>"] == first_timestamp


def test_another_vocabulary_is_refused_before_writing(tmp_path: Path) -> None:
    own = Tokens.load(SMALL_MODEL)
    with pytest.raises(ExportError) as caught:
        write(tmp_path / "m.bin", model(vocab_size=4000, pad_token_id=1), own)
    assert str(caught.value) == (
        "runs/model: expected OpenAI's vocabulary, whose special tokens whisper.cpp knows by number "
        f"(<|endoftext|> is 50256 of 4000), got one in which it is {own.end}; "
        "export it with format=ctranslate2."
    )
    assert not (tmp_path / "m.bin").exists()


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"encoder_ffn_dim": 128}, "feed-forward layers of 4 * d_model"),
        ({"max_source_positions": 750}, "1500 encoder positions"),
        ({"scale_embedding": True}, "token embeddings that are not scaled"),
        ({"activation_function": "relu"}, "GELU as the activation"),
        ({"tie_word_embeddings": False}, "an output projection that is the token embedding"),
        (
            {"d_model": 48, "encoder_ffn_dim": 192, "decoder_ffn_dim": 192},
            "d_model of a multiple of 32",
        ),
    ],
)
def test_a_model_of_another_shape_is_refused(
    sizes: dict[str, Any], expected: str, tokens: Tokens, tmp_path: Path
) -> None:
    with pytest.raises(ExportError) as caught:
        write(tmp_path / "m.bin", model(**sizes), tokens, "q8_0")
    assert str(caught.value) == (
        f"runs/model: expected {expected}, as whisper.cpp has it, got another model; "
        "export it with format=ctranslate2."
    )
