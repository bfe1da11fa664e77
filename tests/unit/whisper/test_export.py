"""Exports are complete, checked against their source, and whole or not there at all."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faster_whisper import WhisperModel
from hypothesis import given
from hypothesis import strategies as st
from transformers import WhisperConfig, WhisperForConditionalGeneration

from voxray.audio import SAMPLE_RATE, Pcm, decode, to_float
from voxray.errors import ExportError, ModelError
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.export import (
    Exported,
    convert,
    export,
    generation_values,
    smallest_window,
)
from voxray.whisper.folders import atomic_directory
from voxray.whisper.models import builtin, digest
from voxray.whisper.tokens import Tokens

ENDS_AT = 12  # decoder positions


@pytest.fixture(scope="module")
def clips() -> list[Pcm]:
    return [decode(p) for p in sorted(builtin("clips").glob("*.ogg"))[:6:2]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Whisper of random weights, bare of what a saved model may lack, that soon stops talking."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    tokens = Tokens.load(builtin("model"))
    values = json.loads((builtin("model") / "config.json").read_text())
    sizes = {
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
    }
    torch.manual_seed(0)
    model: Any = WhisperForConditionalGeneration(WhisperConfig(**{**values, **sizes, "init_std": 0.3}))
    decoder = model.model.decoder
    with torch.no_grad():
        decoder.embed_tokens.weight[tokens.end] = torch.randn(32)  # it pads too, and so began as zeros
        decoder.embed_positions.weight[ENDS_AT:] += 20 * decoder.embed_tokens.weight[tokens.end]
    model.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"alignment_heads": [[3, 0], [1, 1]]}))
    shutil.copy(builtin("model") / "tokenizer.json", folder)
    shutil.copy(builtin("model") / "tokenizer_config.json", folder)
    return folder


@pytest.fixture(scope="module")
def exported(clips: list[Pcm], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(builtin("model"), tmp_path_factory.mktemp("int8") / "model", "int8", clips, device="cpu")


def test_the_builtin_model_exports_to_int8_and_says_what_its_source_says(exported: Exported) -> None:
    about = json.loads((exported.path / "voxray.json").read_text())
    assert exported.wer_to_source <= 0.05
    assert exported.windows == {2.0: 0.0}  # what it was trained for; nothing is smaller
    assert exported.bytes == sum(f.stat().st_size for f in exported.path.iterdir())
    assert about["min_window_s"] == exported.min_window_s == CTranslate2Engine(exported.path).min_window_s
    assert about["source"] == digest(builtin("model"))
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


def test_a_float32_export_of_random_weights_says_token_for_token_what_its_source_says(
    tiny: Path, clips: list[Pcm], tmp_path: Path
) -> None:
    done = export(tiny, tmp_path / "out", "float32", clips, languages=["en"] * 3, device="cpu")
    [heard, *_] = CTranslate2Engine(done.path, compute_type="float32").transcribe(
        clips, DecodingOptions(language="en")
    )
    assert 0 < len(heard.tokens) < ENDS_AT  # it talked, or nothing was compared
    assert done.wer_to_source == 0.0


@pytest.mark.parametrize("quantization", ["int8", "float16", "bfloat16", "int8_float16"])
def test_every_quantization_converts(tiny: Path, clips: list[Pcm], tmp_path: Path, quantization: Any) -> None:
    done = export(tiny, tmp_path / "out", quantization, clips[:1], tolerance_wer=100.0, device="cpu")
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
    values = generation_values(given, Tokens.load(builtin("model")), config)
    assert values["alignment_heads"] == [[1, 2]]
    assert values["suppress_tokens"] == [5]
    assert values["max_length"] == config.max_target_positions


def test_an_export_too_far_from_its_source_is_refused_and_leaves_what_was_there(
    tiny: Path, clips: list[Pcm], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "kept").touch()
    with pytest.raises(ExportError, match=r"expected the export within -1\.00 % WER of its source"):
        export(tiny, out, "int8", clips[:1], tolerance_wer=-0.01, device="cpu")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert [p.name for p in out.iterdir()] == ["kept"]


def test_an_export_that_is_not_checked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected clips to check the export with"):
        export(builtin("model"), tmp_path / "out")
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


def test_a_folder_that_appears_replaces_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("old", "new"):
        with atomic_directory(out) as part:
            part.mkdir()
            (part / name).touch()
    assert [p.name for p in out.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("wers", "window"),
    [
        ({30.0: 0.0}, 30.0),
        ({2.0: 0.0, 4.0: 0.0, 30.0: 0.0}, 2.0),
        ({2.0: 0.3, 4.0: 0.05, 30.0: 0.0}, 4.0),
        ({2.0: 0.0, 6.0: 0.2, 10.0: 0.01, 30.0: 0.0}, 10.0),
        ({15.0: 0.2, 30.0: 0.0}, 30.0),
    ],
)
def test_the_smallest_window_passed_with_every_larger_one(wers: dict[float, float], window: float) -> None:
    assert smallest_window(wers, 0.05) == window


@given(
    st.dictionaries(st.sampled_from([2.0, 4.0, 6.0, 10.0, 15.0, 20.0]), st.floats(0, 1)),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_laxer_tolerance_never_asks_for_a_larger_window(
    wers: dict[float, float], a: float, b: float
) -> None:
    wers = {**wers, 30.0: 0.0}
    assert smallest_window(wers, max(a, b)) <= smallest_window(wers, min(a, b))


def test_long_clips_are_heard_in_their_own_window(tiny: Path, tmp_path: Path) -> None:
    long = np.zeros(12 * SAMPLE_RATE, dtype=np.int16)
    done = export(tiny, tmp_path / "out", "int8", [long], tolerance_wer=100.0, device="cpu")
    assert sorted(done.windows) == [15.0, 20.0, 30.0]
    assert done.min_window_s == 15.0
