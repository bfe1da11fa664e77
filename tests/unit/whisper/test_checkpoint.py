import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.small_model import SMALL_MODEL
from tests.small_model.random_model import TWO_LAYERS, random_model
from transformers import WhisperForConditionalGeneration

from voxray.errors import ModelError
from voxray.whisper.checkpoint import TEXT_FILES, load_model, parameters, save_model
from voxray.whisper.student import make_student
from voxray.whisper.tokens import Tokens


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model's texts with a small architecture, without weights."""
    folder = tmp_path_factory.mktemp("source")
    for name in TEXT_FILES:
        shutil.copy(SMALL_MODEL / name, folder)
    values = json.loads((SMALL_MODEL / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **TWO_LAYERS}))
    return folder


@pytest.fixture(scope="module")
def model(source: Path) -> Any:
    return random_model(source, 1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 0.0), (torch.float16, 1e-3)])
def test_a_saved_model_is_read_back(
    model: Any, source: Path, tmp_path: Path, dtype: torch.dtype, tolerance: float
) -> None:
    again = load_model(save_model(model, tmp_path / "out", source, dtype))
    assert again.dtype == torch.float32
    theirs = again.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(theirs[name], value, rtol=tolerance, atol=tolerance / 10)


def test_models_are_saved_in_half_precision_with_what_they_need_to_speak(
    model: Any, source: Path, tmp_path: Path
) -> None:
    folder = save_model(model, tmp_path / "out", source)
    assert load_model(folder, torch.float16).dtype == torch.float16
    assert (folder / "model.safetensors").stat().st_size < 2 * parameters(model) + 50_000
    assert Tokens.load(folder).start == Tokens.load(source).start
    assert all((folder / name).is_file() for name in TEXT_FILES)


def test_saving_leaves_the_model_as_it_is(model: Any, source: Path, tmp_path: Path) -> None:
    save_model(model, tmp_path / "out", source)
    assert model.dtype == torch.float32
    assert model.proj_out.weight is model.model.decoder.embed_tokens.weight


def test_a_student_is_saved_with_its_own_layers_and_alignment_heads(
    model: Any, source: Path, tmp_path: Path
) -> None:
    folder = save_model(make_student(model, 1), tmp_path / "out", source)
    heads = json.loads((folder / "generation_config.json").read_text())["alignment_heads"]
    assert heads == [[0, h] for h in range(4)]
    assert json.loads((source / "generation_config.json").read_text())["alignment_heads"] != heads
    assert len(load_model(folder).model.decoder.layers) == 1


def test_random_weights_are_drawn_by_their_seed(source: Path, model: Any) -> None:
    same, other = (random_model(source, seed).model.decoder.layers[0].fc1.weight for seed in (1, 2))
    assert torch.equal(model.model.decoder.layers[0].fc1.weight, same)
    assert not torch.equal(same, other)
    assert model.generation_config.lang_to_id["<|en|>"] == Tokens.load(source).language("en")


def test_shared_weights_are_counted_once(model: Any) -> None:
    shared = model.proj_out.weight.numel()
    assert parameters(model) == sum(v.numel() for v in model.state_dict().values()) - shared


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_folder_that_is_no_model_is_named(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=f"{tmp_path}: expected a Whisper model in Hugging Face form"):
        load_model(tmp_path)


def test_weights_cut_off_are_named(model: Any, source: Path, tmp_path: Path) -> None:
    folder = save_model(model, tmp_path / "out", source)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="expected a Whisper model in Hugging Face form"):
        load_model(folder)


def test_an_error_without_a_message_is_named_by_its_class(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: str, **options: Any) -> None:
        raise OSError

    monkeypatch.setattr(WhisperForConditionalGeneration, "from_pretrained", fail)

    with pytest.raises(ModelError, match="in Hugging Face form; OSError"):
        load_model(source)
