"""What holds of the repository as a whole, and of what is deployed and cannot be built here."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import voxray
from voxray.serving.ray.launch import HAPROXY

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "platform" / "voxray" / "assets"
SOURCES = sorted(f for folder in ("platform", "jobs", "serve") for f in (ROOT / folder).rglob("*.py"))
JOBS = sorted((ROOT / "jobs").glob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MB = 1_000_000
IMAGES = ["Dockerfile", "Dockerfile.gpu"]
RAY = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("ray=="))


def size(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def test_platform_is_no_package() -> None:
    """It would hide the standard library's `platform` from everything that starts in the repository."""
    assert not (ROOT / "platform" / "__init__.py").exists()

    code = "import platform; print(platform.system())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip()


def test_the_sample_clips_are_small() -> None:
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


def hadolint() -> str:
    """The linter in this environment (wheels of it exist for Linux on x86-64 only)."""
    beside = Path(sys.executable).parent / "hadolint"
    found = str(beside) if beside.is_file() else shutil.which("hadolint")
    if not found:
        pytest.skip("hadolint is not installed: its wheel is for Linux on x86-64 only")
    return found


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_no_findings_of_the_linter(image: str) -> None:
    words = [hadolint(), "--no-color", "--failure-threshold", "style", image]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_finds_something_where_there_is_something(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian:latest\nRUN cd /tmp && apt-get install python3\n")
    done = subprocess.run([hadolint(), bad], capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "DL3007" in done.stdout


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_installs_what_is_tested_and_runs_as_an_unprivileged_user(image: str) -> None:
    text = (ROOT / image).read_text()
    installs = re.findall(r"^RUN pip install (.*)$", text, re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    assert installs
    assert all("-c constraints.txt" in words for words in installs)
    assert set(re.findall(r"'\.\[(.*)\]'", text)[0].split(",")) <= set(extras)
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1] != "root"


@pytest.mark.parametrize("image", IMAGES)
def test_what_an_image_copies_is_there_and_not_ignored(image: str) -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (.*) \S+$", (ROOT / image).read_text(), re.MULTILINE)

    for name in " ".join(copied).split():
        assert (ROOT / name).exists()
        assert name in kept


@pytest.fixture
def cluster() -> dict[str, Any]:
    """cluster.yaml with Ray's defaults filled in, as `ray up` has it."""
    from ray.autoscaler._private.util import prepare_config

    filled: dict[str, Any] = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    return filled


def test_the_cluster_is_valid_by_rays_schema(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import validate_config

    validate_config(cluster)


def test_the_schema_refuses_what_it_does_not_know(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import validate_config

    with pytest.raises(
        Exception, match="'workers_start_ray_commands' was unexpected"
    ):  # jsonschema's own error
        validate_config({**cluster, "workers_start_ray_commands": []})


def test_the_cluster_has_a_head_without_work_and_workers_from_zero(cluster: dict[str, Any]) -> None:
    nodes = dict(cluster["available_node_types"])
    head = nodes.pop(cluster["head_node_type"])

    assert head["resources"] == {"CPU": 0}
    assert set(nodes) == {"cpu", "gpu"}
    assert all(node["min_workers"] == 0 < node["max_workers"] for node in nodes.values())


@pytest.mark.parametrize("role", ["head", "worker"])
def test_every_node_starts_ray_with_the_three_settings(role: str, cluster: dict[str, Any]) -> None:
    (start,) = [c for c in cluster[f"{role}_start_ray_commands"] if "ray start" in c]

    assert start.startswith("PYTHONPATH=platform RAY_AUTH_MODE=token RAY_worker_niceness=0 ")


@pytest.mark.parametrize("role", ["head", "worker"])
def test_every_node_has_the_proxy_that_make_serve_has(role: str, cluster: dict[str, Any]) -> None:
    (start,) = [c for c in cluster[f"{role}_start_ray_commands"] if "ray start" in c]
    environment, _, _ = start.partition("ray start ")

    assert HAPROXY.items() <= dict(word.split("=", 1) for word in environment.split()).items()


def test_every_node_runs_the_ray_that_is_tested(cluster: dict[str, Any]) -> None:
    images = re.findall(r"rayproject/ray:[\w.-]+", (ROOT / "cluster.yaml").read_text())

    assert len(images) == 2
    assert all(image.startswith(f"rayproject/ray:{RAY.removeprefix('ray==')}-py311-") for image in images)
    assert all("-c /home/ray/voxray/constraints.txt" in c for c in cluster["setup_commands"])
