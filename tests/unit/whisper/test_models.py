import shutil
from pathlib import Path

import pytest

from voxray.errors import ModelError
from voxray.whisper.digest import digest
from voxray.whisper.models import builtin, ctranslate2_folder, hf_folder, is_ctranslate2
from voxray.whisper.tokens import Tokens


def test_the_built_in_model_has_both_forms() -> None:
    assert (hf_folder("builtin") / "model.safetensors").is_file()
    assert is_ctranslate2(ctranslate2_folder("builtin"))


def test_a_folder_is_its_own_name() -> None:
    assert hf_folder(str(builtin("model"))) == builtin("model")
    assert ctranslate2_folder(str(builtin("model-int8"))) == builtin("model-int8")


def test_a_converted_model_is_converted_back_once() -> None:
    folder = hf_folder(str(builtin("model-int8")))
    first = (folder / "model.safetensors").stat().st_mtime_ns

    assert Tokens.load(folder).end == Tokens.load(builtin("model")).end
    assert hf_folder(str(builtin("model-int8"))) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == first


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    shutil.copy(builtin("model") / "config.json", tmp_path)

    with pytest.raises(ModelError, match=r"expected weights \(model\.safetensors\), and there are none"):
        hf_folder(str(tmp_path))


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected a model folder with config\.json, and there is none"):
        ctranslate2_folder(str(tmp_path))


@pytest.mark.parametrize("name", ["./missing", "/missing/model", "~/model", "runs/demo/model"])
def test_a_folder_that_is_not_there_is_never_asked_of_the_hub(name: str) -> None:
    with pytest.raises(ModelError, match=r"there is no such folder\.$"):
        hf_folder(name)


def test_a_file_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.touch()

    with pytest.raises(ModelError, match="expected `builtin`, a folder or a hub name"):
        ctranslate2_folder(str(file))


def test_a_digest_is_bound_to_weights_and_not_to_the_read_me(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    first = digest(folder)

    (folder / "README.md").write_text("about")
    assert digest(folder) == first

    (folder / "model.safetensors").write_bytes(b"others!")
    assert digest(folder) != first
