"""Exports are complete, checked against their source, and whole or not there at all."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faster_whisper import WhisperModel
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS
from tests.small_model.random_model import TWO_LAYERS, random_model
from transformers import WhisperConfig

from voxray.audio import SAMPLE_RATE, Pcm, decode, to_float
from voxray.errors import ExportError, ModelError
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.digest import digest
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.export import (
    CheckSet,
    Exported,
    convert,
    export,
    generation_values,
)
from voxray.whisper.tokens import Tokens

ENDS_AT = 12  # decoder positions


@pytest.fixture(scope="module")
def clips() -> list[Pcm]:
    return [decode(p) for p in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:6:2]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Whisper of random weights, bare of what a saved model may lack, that soon ends its text."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    tokens = Tokens.load(SMALL_MODEL)
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    model = random_model(**TWO_LAYERS | sizes, init_std=0.3)
    decoder = model.model.decoder
    with torch.no_grad():
        decoder.embed_tokens.weight[tokens.end] = torch.randn(32)  # it pads too, and so began as zeros
        decoder.embed_positions.weight[ENDS_AT:] += 20 * decoder.embed_tokens.weight[tokens.end]
    model.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"alignment_heads": [[3, 0], [1, 1]]}))
    shutil.copy(SMALL_MODEL / "tokenizer.json", folder)
    shutil.copy(SMALL_MODEL / "tokenizer_config.json", folder)
    return folder


@pytest.fixture(scope="module")
def exported(clips: list[Pcm], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(SMALL_MODEL, tmp_path_factory.mktemp("int8") / "model", CheckSet(clips), device="cpu")


def test_the_small_model_exports_to_int8_and_agrees_with_its_source(exported: Exported) -> None:
    about = json.loads((exported.path / "voxray.json").read_text())
    assert about["wer_to_source"] <= 0.05
    assert about["windows"] == {"2": 0.0}  # what it was trained for; nothing is smaller
    assert exported.bytes == sum(f.stat().st_size for f in exported.path.iterdir())
    assert (
        about["min_window_s"] == exported.info.min_window_s == CTranslate2Engine(exported.path).min_window_s
    )
    assert about["source"] == digest(SMALL_MODEL)
    assert about["quantization"] == "int8"
    assert "en" in about["languages"]
    assert 3_000_000 < about["parameters"] < 5_000_000


def test_faster_whisper_opens_the_export_as_it_is(exported: Exported, clips: list[Pcm]) -> None:
    model = WhisperModel(str(exported.path), device="cpu", compute_type="int8")
    segments, info = model.transcribe(to_float(clips[0]), language="en", beam_size=1, without_timestamps=True)
    [ours] = CTranslate2Engine(exported.path, device="cpu").transcribe(
        clips[:1], DecodingOptions(language="en")
    )
    assert info.language == "en"
    assert " ".join(s.text.strip() for s in segments) == ours.text != ""


def test_a_float32_export_of_random_weights_agrees_with_its_source_token_for_token(
    tiny: Path, clips: list[Pcm], tmp_path: Path
) -> None:
    check = CheckSet(clips, languages=["en"] * 3)
    done = export(tiny, tmp_path / "out", check, quantization="float32", device="cpu")
    [result, *_] = CTranslate2Engine(done.path, compute_type="float32").transcribe(
        clips, DecodingOptions(language="en")
    )
    assert 0 < len(result.tokens) < ENDS_AT  # there is text, or nothing was compared
    assert done.info.wer_to_source == 0.0


@pytest.mark.parametrize("quantization", ["int8", "float16", "bfloat16", "int8_float16"])
def test_every_quantization_converts(tiny: Path, clips: list[Pcm], tmp_path: Path, quantization: Any) -> None:
    done = export(
        tiny, tmp_path / "out", CheckSet(clips[:1], tolerance=100.0), quantization=quantization, device="cpu"
    )
    assert json.loads((done.path / "voxray.json").read_text())["quantization"] == quantization


def test_what_the_source_lacks_is_added(tiny: Path, tmp_path: Path) -> None:
    folder = convert(tiny, tmp_path / "out")
    tokens = Tokens.load(tiny)
    generation = json.loads((folder / "generation_config.json").read_text())
    served = json.loads((folder / "config.json").read_text())
    assert json.loads((folder / "preprocessor_config.json").read_text())["feature_size"] == 80
    assert generation["lang_to_id"]["<|en|>"] == tokens.language("en")
    assert generation["task_to_id"] == tokens.tasks
    # Both named heads are in layers that are gone: every head of the one layer stands in.
    assert generation["alignment_heads"] == served["alignment_heads"] == [[0, h] for h in range(4)]
    assert served["lang_ids"] == sorted(tokens.languages.values())
    assert not (tiny / "preprocessor_config.json").exists()


def test_heads_that_are_there_are_kept_and_given_values_stay() -> None:
    config = WhisperConfig(decoder_layers=2, decoder_attention_heads=4)
    given = {"alignment_heads": [[1, 2], [7, 0]], "suppress_tokens": [5], "max_length": None}
    values = generation_values(given, Tokens.load(SMALL_MODEL), config)
    assert values["alignment_heads"] == [[1, 2]]
    assert values["suppress_tokens"] == [5]
    assert values["max_length"] == config.max_target_positions


def test_an_export_too_far_from_its_source_is_refused_and_leaves_what_was_there(
    tiny: Path, clips: list[Pcm], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "kept").touch()
    with pytest.raises(ExportError, match=r"expected the export within -1\.00 % error rate of its source"):
        export(tiny, out, CheckSet(clips[:1], tolerance=-0.01), device="cpu")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert [p.name for p in out.iterdir()] == ["kept"]


def test_an_export_that_is_not_checked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected clips to check the export with"):
        export(SMALL_MODEL, tmp_path / "out", CheckSet(()))
    assert not (tmp_path / "out").exists()


def test_weights_that_cannot_be_converted_are_named_and_leave_nothing(tiny: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    (broken / "model.safetensors").unlink()
    with pytest.raises(ExportError, match=r"broken: expected a Whisper model that CTranslate2 can convert"):
        convert(broken, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["broken"]


def test_a_source_without_a_tokenizer_is_named(tiny: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tiny, bare)
    (bare / "tokenizer.json").unlink()
    (bare / "tokenizer_config.json").unlink()
    with pytest.raises(ModelError, match=r"bare: expected a tokenizer \(tokenizer\.json or"):
        convert(bare, tmp_path / "out")


def test_long_clips_are_checked_in_their_own_window(tiny: Path, tmp_path: Path) -> None:
    long = np.zeros(12 * SAMPLE_RATE, dtype=np.int16)
    done = export(tiny, tmp_path / "out", CheckSet([long], tolerance=100.0), device="cpu")
    assert list(done.info.windows) == ["15", "20", "30"]
    assert done.info.min_window_s == 15.0
