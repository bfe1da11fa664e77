"""Whisper models in the form that whisper.cpp loads (whisper.cpp, `whisper_model_load`).

    u32 magic, i32 x 11 sizes
    i32 n_mels, i32 201, f32 mel filters
    i32 count, then per token: i32 length, bytes       the tokens before <|endoftext|>, by their ids
    per tensor: i32 rank, i32 length of the name, i32 type, i32 sizes.. (the fastest axis first), name, data

All little-endian. whisper.cpp knows special tokens by number alone and works out the numbers from the size of
the vocabulary: only vocabularies of OpenAI's Whisper can be written.
"""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor

from voxray.audio import N_FFT, SAMPLE_RATE
from voxray.errors import ExportError
from voxray.whisper.ggml_blocks import BLOCK, TYPE_CODES, Array, MatrixType, TensorType, encode
from voxray.whisper.openai_names import openai_name
from voxray.whisper.tokens import Tokens

MAGIC = 0x67676D6C  # "ggml"
FILE_TYPES: dict[MatrixType, int] = {"f16": 1, "q8_0": 2007, "q5_0": 2008}
"""ggml.h, `enum ggml_ftype`, plus 1000 times ggml's quantization version where there are blocks."""
POSITIONS = 1500  # of whisper.cpp's windows of 30 s


def file_name(kind: str) -> str:
    """Return the name of a model file, such as ggml-model-q5_0.bin."""
    return f"ggml-model-{kind}.bin"


def write_ggml(
    file: Path, config: Any, state: Mapping[str, Array], tokens: Tokens, kind: MatrixType, source: str
) -> None:
    """Write a model to `file`, which is not there whole until this returns.

    `config` is its WhisperConfig, `state` its weights by transformers' names, `source` what errors call it.
    Matrices of layers and the token embedding have the type `kind`, convolutions float16 (whisper.cpp runs no
    others), and the rest float32. Raises ExportError, before anything is written, where whisper.cpp cannot
    load such a model.
    """
    check_loadable(config, tokens, kind, source)
    with file.open("wb") as out:
        out.write(struct.pack("<I11i", MAGIC, *_sizes(config), FILE_TYPES[kind]))
        _write_filters(out, config.num_mel_bins)
        _write_vocabulary(out, tokens)
        for name, weights in state.items():
            if name != "proj_out.weight":  # the token embedding, once more
                _write_tensor(out, openai_name(name), weights, kind)


def check_loadable(config: Any, tokens: Tokens, kind: MatrixType, source: str) -> None:
    """Raise ExportError where whisper.cpp cannot load the model, in a sentence that says why."""
    for problem in _problems(config, tokens, kind):
        raise ExportError(f"{source}: expected {problem}; export it with format=ctranslate2.")


def _problems(config: Any, tokens: Tokens, kind: MatrixType) -> Iterator[str]:
    own = {
        "<|endoftext|>": tokens.end,
        "<|startoftranscript|>": tokens.start,
        "<|startofprev|>": tokens.previous,
        "<|nospeech|>": tokens.no_speech,
        "<|notimestamps|>": tokens.no_timestamps,
        "<|0.00|>": tokens.first_timestamp,
    }
    known = special_tokens(config.vocab_size)
    if wrong := [name for name in known if known[name] != own[name]]:
        yield (
            f"OpenAI's vocabulary, whose special tokens whisper.cpp knows by number ({wrong[0]} is "
            f"{known[wrong[0]]} of {config.vocab_size}), got one in which it is {own[wrong[0]]}"
        )
    inner = {config.encoder_ffn_dim, config.decoder_ffn_dim}
    expected = {
        f"d_model of a multiple of {BLOCK}": kind == "f16" or config.d_model % BLOCK == 0,
        f"{POSITIONS} encoder positions": config.max_source_positions == POSITIONS,
        "feed-forward layers of 4 * d_model": inner == {4 * config.d_model},
        "an output projection that is the token embedding": config.tie_word_embeddings,
        "token embeddings that are not scaled": not config.scale_embedding,
        "GELU as the activation": config.activation_function == "gelu",
    }
    yield from (
        f"{what}, as whisper.cpp has it, got another model" for what, met in expected.items() if not met
    )


def special_tokens(vocabulary: int) -> dict[str, int]:
    """Return whisper.cpp's ids of special tokens in a vocabulary of that size (`whisper_vocab`)."""
    multilingual = vocabulary >= 51865
    shift = vocabulary - 51765 - 1 - 98 if multilingual else 0
    return {
        "<|endoftext|>": 50256 + multilingual,
        "<|startoftranscript|>": 50257 + multilingual,
        "<|startofprev|>": 50360 + shift,
        "<|nospeech|>": 50361 + shift,
        "<|notimestamps|>": 50362 + shift,
        "<|0.00|>": 50363 + shift,
    }


def _sizes(config: Any) -> tuple[int, ...]:
    return (
        config.vocab_size,
        config.max_source_positions,
        config.d_model,
        config.encoder_attention_heads,
        config.encoder_layers,
        config.max_target_positions,
        config.d_model,
        config.decoder_attention_heads,
        config.decoder_layers,
        config.num_mel_bins,
    )


def _write_filters(out: BinaryIO, n_mels: int) -> None:
    filters: Array = FeatureExtractor.get_mel_filters(SAMPLE_RATE, N_FFT, n_mels=n_mels)
    out.write(struct.pack("<2i", *filters.shape))
    out.write(filters.astype("<f4").tobytes())


def _write_vocabulary(out: BinaryIO, tokens: Tokens) -> None:
    out.write(struct.pack("<i", tokens.end))
    for i in range(tokens.end):
        text = token_bytes(tokens.tokenizer.id_to_token(i) or "")
        out.write(struct.pack("<i", len(text)) + text)


def token_bytes(token: str) -> bytes:
    """Return the bytes that a token of a byte-level BPE stands for (openai/gpt-2, encoder.py)."""
    return bytes(BYTES[character] for character in token)


def _byte_characters() -> dict[str, int]:
    """Return GPT-2's characters for bytes: printable ones for themselves, others from U+0100 on."""
    printable = [i for i in range(256) if 0x21 <= i <= 0x7E or 0xA1 <= i <= 0xAC or i >= 0xAE]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


BYTES = _byte_characters()


def _write_tensor(out: BinaryIO, name: str, weights: Array, kind: MatrixType) -> None:
    if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
        weights = weights.reshape(-1, 1)
    stored = _stored_type(name, weights.ndim, kind)
    title = name.encode()
    out.write(struct.pack("<3i", weights.ndim, len(title), TYPE_CODES[stored]))
    out.write(struct.pack(f"<{weights.ndim}i", *reversed(weights.shape)))
    out.write(title + encode(np.ascontiguousarray(weights), stored))


def _stored_type(name: str, rank: int, kind: MatrixType) -> TensorType:
    if rank == 1 or name.endswith(("conv1.bias", "conv2.bias", "positional_embedding")):
        return "f32"
    return "f16" if rank == 3 else kind
