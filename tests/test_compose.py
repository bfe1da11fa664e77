"""compose.yaml: valid by the Compose specification, by a linter, and by what the service's launcher takes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from voxray import __version__
from voxray.serving.ray.launch import read

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "compose.yaml"
ACCEPTED = {
    "CL-0007",  # a writable root: Ray's sessions, and models
    "CL-0019",  # no digest: the image is built here
}
PROFILES = ["cpu", "gpu"]


def project() -> dict[str, Any]:
    """The file as Compose reads it with an empty environment."""
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", COMPOSE.read_text())
    values: dict[str, Any] = yaml.safe_load(text)
    return values


def test_it_is_valid_by_the_specification() -> None:
    compose_spec = pytest.importorskip(
        "compose_spec", reason="compose-spec has wheels for Linux on x86-64 only"
    )
    right, wrong = project(), project()
    wrong["services"]["cpu"]["helthcheck"] = {}
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(right)).validate()

    assert sorted(right["services"]) == PROFILES
    with pytest.raises(ValueError, match="helthcheck"):
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(wrong))


def test_the_linter_finds_only_what_is_accepted() -> None:
    words = [sys.executable, "-m", "compose_lint", "check", "--format", "json", str(COMPOSE)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = {f["rule_id"] for f in json.loads(done.stdout)["findings"]}

    assert found == ACCEPTED, done.stdout


@pytest.mark.parametrize("profile", PROFILES)
def test_a_service_is_started_as_the_launcher_takes_it(profile: str) -> None:
    service = project()["services"][profile]
    python, flag, module, *words = service["command"]
    address, args = read([str(ROOT / words[0]), *words[1:]])

    assert (python, flag, module) == ("python", "-m", "voxray.serving.ray.launch")
    assert address.host == "0.0.0.0"  # within the container
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert args.access.keys_file == Path("/run/secrets/keys")  # it would not start without
    assert args.transcriber.gpus == (1 if profile == "gpu" else 0)
    assert service["profiles"] == [profile]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_service_is_built_from_an_image_of_ours(profile: str) -> None:
    service = project()["services"][profile]

    assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert service["image"] == f"voxray:{__version__}" + ("-gpu" if profile == "gpu" else "")
