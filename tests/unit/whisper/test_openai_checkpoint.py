"""OpenAI's checkpoints, there and back, with the tests' small model and tokenizer."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.small_model import SMALL_MODEL

from voxray.errors import ExportError, ModelError
from voxray.whisper.checkpoint import load_model
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.models import hf_folder
from voxray.whisper.openai_checkpoint import read_openai, write_openai
from voxray.whisper.openai_names import MODEL_FILE, openai_name
from voxray.whisper.registry import model_form


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model(SMALL_MODEL)


@pytest.fixture
def file(model: Any, tmp_path: Path) -> Path:
    place = tmp_path / "openai" / MODEL_FILE
    place.parent.mkdir()
    write_openai(place, model, SMALL_MODEL, torch.float32)
    return place


def test_a_model_comes_back_with_its_weights_tokens_and_generation_config(
    model: Any, file: Path, tmp_path: Path
) -> None:
    ModelInfo(min_window_s=2.0).save(file.parent)
    folder = read_openai(file, tmp_path / "back")
    back = load_model(folder)

    assert all(torch.equal(back.state_dict()[n], v) for n, v in model.state_dict().items())
    assert back.config.decoder_start_token_id == model.config.decoder_start_token_id
    ours, theirs = (json.loads((f / "generation_config.json").read_text()) for f in (folder, SMALL_MODEL))
    assert ours == theirs
    assert ModelInfo.load(folder).min_window_s == 2.0


def test_the_file_has_the_names_and_dimensions_of_openai(model: Any, file: Path) -> None:
    found = torch.load(file, weights_only=True)

    assert found["dims"]["n_text_layer"] == model.config.decoder_layers
    assert found["dims"]["n_vocab"] == model.config.vocab_size
    assert "decoder.token_embedding.weight" in found["model_state_dict"]
    assert not any("proj_out" in name for name in found["model_state_dict"])


def test_a_file_or_its_folder_is_a_model(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("voxray.whisper.models.CACHE", tmp_path / "cache")

    assert hf_folder(str(file)) == hf_folder(str(file.parent))
    assert model_form(file.parent) == "openai"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.encoder.embed_positions.weight", "encoder.positional_embedding"),
        ("model.encoder.conv1.bias", "encoder.conv1.bias"),
        ("model.encoder.layer_norm.weight", "encoder.ln_post.weight"),
        ("model.encoder.layers.3.self_attn.k_proj.weight", "encoder.blocks.3.attn.key.weight"),
        ("model.decoder.layers.1.encoder_attn.k_proj.weight", "decoder.blocks.1.cross_attn.key.weight"),
        ("model.decoder.layers.1.final_layer_norm.bias", "decoder.blocks.1.mlp_ln.bias"),
        ("model.decoder.layer_norm.bias", "decoder.ln.bias"),
        ("model.decoder.embed_tokens.weight", "decoder.token_embedding.weight"),
    ],
)
def test_names_are_those_of_openai(name: str, expected: str) -> None:
    assert openai_name(name) == expected


def test_without_a_generation_config_the_tokens_that_openai_suppresses_are_suppressed(
    file: Path, tmp_path: Path
) -> None:
    (file.parent / "generation_config.json").unlink()
    values = json.loads((read_openai(file, tmp_path / "back") / "generation_config.json").read_text())

    assert len(values["suppress_tokens"]) > 80
    assert values["begin_suppress_tokens"][0] == 220


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04"])
def test_what_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pt"
    wrong.write_bytes(content)

    with pytest.raises(ModelError, match="expected a checkpoint of OpenAI's Whisper"):
        read_openai(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_lacks_weights_is_refused(file: Path, tmp_path: Path) -> None:
    found = torch.load(file, weights_only=True)
    del found["model_state_dict"]["decoder.ln.bias"]
    torch.save(found, file)

    with pytest.raises(ModelError, match=r"expected decoder\.ln\.bias of shape .*, got none"):
        read_openai(file, tmp_path / "out")


def test_a_checkpoint_with_a_vocabulary_that_nothing_here_has_is_refused(file: Path, tmp_path: Path) -> None:
    (file.parent / "tokenizer.json").unlink()

    with pytest.raises(ModelError, match=r"expected tokenizer\.json beside it, got none"):
        read_openai(file, tmp_path / "out")


def test_a_model_that_openai_s_code_has_no_place_for_is_refused(model: Any, tmp_path: Path) -> None:
    other = load_model(SMALL_MODEL)
    other.config.encoder_ffn_dim += 1

    with pytest.raises(ExportError, match="expected feed-forward layers of 4"):
        write_openai(tmp_path / MODEL_FILE, other, SMALL_MODEL)
