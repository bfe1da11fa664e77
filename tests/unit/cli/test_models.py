import json
import shutil
from pathlib import Path

import pytest
from tests.small_model import SMALL_MODEL, SMALL_MODEL_INT8
from typer.testing import CliRunner

from voxray.cli import app
from voxray.whisper.model_info import CheckScore, ModelInfo


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    shutil.copytree(SMALL_MODEL_INT8, folder / "served")
    shutil.copytree(SMALL_MODEL, folder / "student" / "model")
    shutil.copytree(SMALL_MODEL, folder / "student" / "model.123.part")
    (folder / "phone").mkdir()
    (folder / "phone" / "ggml-model-q5_0.bin").write_bytes(bytes(2_000_000))
    score = CheckScore(corpus="calls", clips=40, rate=0.0358, low=0.0111, high=0.0702)
    info = ModelInfo(min_window_s=2.0, quantization="q5_0", source_name="runs/student/model", score=score)
    info.save(folder / "phone")
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    return folder


def test_every_model_below_a_folder_is_listed(runs: Path) -> None:
    done = CliRunner().invoke(app, ["models", str(runs), "--json"])
    found = {Path(m["path"]).relative_to(runs).as_posix(): m for m in json.loads(done.stdout)}

    assert done.exit_code == 0
    assert {name: m["form"] for name, m in found.items()} == {
        "adapter": "adapter",
        "phone": "ggml",
        "served": "ctranslate2",
        "student/model": "transformers",
    }
    assert found["phone"]["source_name"] == "runs/student/model"
    assert found["phone"]["min_window_s"] == 2.0
    assert found["phone"]["score"]["rate"] == 0.0358
    assert found["phone"]["bytes"] > 2_000_000
    assert found["served"]["source"] == ModelInfo.load(SMALL_MODEL_INT8).source


def test_the_table_has_sources_windows_and_scores(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    lines = CliRunner().invoke(app, ["models", str(runs)]).stdout.splitlines()
    [phone] = [line for line in lines if "phone" in line]

    for text in ("ggml q5_0", "2.0", "2 s", "runs/student/model", "WER 3.6 % (1.1 to 7.0), 40 clips"):
        assert text in phone


def test_a_malformed_voxray_json_is_named_and_the_rest_is_listed(runs: Path) -> None:
    (runs / "phone" / "voxray.json").write_text("{")
    done = CliRunner().invoke(app, ["models", str(runs), "--json"])

    assert done.exit_code == 1
    assert len(json.loads(done.stdout)) == 3
    assert done.stderr.startswith(f"error: {runs}/phone/voxray.json: expected model information, got ")


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["models", str(tmp_path / "nowhere")])

    assert done.exit_code == 1
    assert done.stderr == f"error: {tmp_path}/nowhere: expected a folder with models, got none.\n"
