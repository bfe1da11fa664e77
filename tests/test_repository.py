"""What holds of the repository as a whole."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import voxray

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "platform" / "voxray" / "assets"
SOURCES = sorted(f for folder in ("platform", "jobs", "serve") for f in (ROOT / folder).rglob("*.py"))
JOBS = sorted((ROOT / "jobs").glob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MB = 1_000_000


def size(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def test_platform_is_no_package() -> None:
    """It would hide the standard library's `platform` from everything that starts in the repository."""
    assert not (ROOT / "platform" / "__init__.py").exists()

    code = "import platform; print(platform.system())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip()


def test_the_built_in_model_is_small() -> None:
    assert 0 < size(ASSETS / "model") + size(ASSETS / "model-int8") <= 20 * MB


def test_the_built_in_clips_are_small() -> None:
    assert 0 < size(ASSETS / "clips") <= 4 * MB


def test_every_clip_has_a_text_and_every_text_a_clip() -> None:
    clips = {f.stem for f in (ASSETS / "clips").glob("*.ogg")}
    texts = {f.stem for f in (ASSETS / "clips").glob("*.txt")}

    assert clips == texts


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_functions_stay_small(file: Path) -> None:
    text = file.read_text()
    functions = [
        n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lines = {f"{f.name} at {f.lineno}": (f.end_lineno or f.lineno) - f.lineno + 1 for f in functions}

    assert text.count("\n") <= 400
    assert not {name: n for name, n in lines.items() if n > 60}


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.stem)
def test_every_job_has_a_manual_and_a_config(job: Path) -> None:
    manual = ast.get_docstring(ast.parse(job.read_text())) or ""

    assert f"python jobs/{job.name}" in manual
    assert list((ROOT / "jobs" / "configs").glob(f"{job.stem}*.yaml"))


def test_the_version_is_one_everywhere() -> None:
    assert voxray.__version__ == PROJECT["version"]
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_read_me_names_only_targets_that_there_are() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = re.findall(r"```.*?```|`[^`\n]+`", (ROOT / "README.md").read_text(), re.DOTALL)
    named = {target for block in code for target in re.findall(r"\bmake ([a-z][a-z-]*)\b", block)}

    assert {"demo", "test"} <= targets
    assert named <= targets


def test_everything_that_is_needed_is_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text()
    pinned = {normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", pins, re.MULTILINE)}
    extras = PROJECT["optional-dependencies"].values()
    needed = [*PROJECT["dependencies"], *(word for extra in extras for word in extra)]

    assert {normal(re.split(r"[^A-Za-z0-9._-]", word)[0]) for word in needed} <= pinned
    assert "torch==2.13.0" in pins
    assert " @ " not in pins


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_licence_is_whole() -> None:
    licence = (ROOT / "LICENSE").read_text()

    assert "Apache License\n                           Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_no_ignore_is_without_its_reason() -> None:
    bare = re.compile(r"#\s*(noqa|type:\s*ignore)\S*\s*$", re.MULTILINE)

    assert not [
        str(f) for f in (*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))) if bare.search(f.read_text())
    ]
