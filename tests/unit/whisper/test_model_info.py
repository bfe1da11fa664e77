import json
from pathlib import Path

import pytest
from tests.small_model import SMALL_MODEL_INT8

from voxray.errors import ModelError
from voxray.whisper.model_info import ModelInfo


def test_a_folder_without_information_takes_30_s_windows(tmp_path: Path) -> None:
    assert ModelInfo.load(tmp_path) == ModelInfo()
    assert ModelInfo().min_window_s == 30.0


def test_the_small_model_gives_what_it_was_trained_for() -> None:
    info = ModelInfo.load(SMALL_MODEL_INT8)

    assert (info.min_window_s, info.languages, info.quantization) == (2.0, ("en",), "int8")
    assert info.windows["2"] == 0.0


def test_what_is_saved_is_loaded_and_nothing_else_is_written(tmp_path: Path) -> None:
    ModelInfo(min_window_s=4.0).save(tmp_path)

    assert json.loads((tmp_path / "voxray.json").read_text()) == {"min_window_s": 4.0}
    assert ModelInfo.load(tmp_path) == ModelInfo(min_window_s=4.0)


def test_keys_of_a_later_release_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "voxray.json").write_text('{"min_window_s": 6, "adapter": "x"}')

    assert ModelInfo.load(tmp_path).min_window_s == 6.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"voxray\.json: expected model information, got Invalid JSON.* at the file"),
        ('{"min_window_s": "short"}', r"got Input should be a valid number.* at min_window_s"),
    ],
)
def test_malformed_information_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "voxray.json").write_text(text)

    with pytest.raises(ModelError, match=message):
        ModelInfo.load(tmp_path)
