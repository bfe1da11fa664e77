"""What is handed to `serve deploy`: valid by Ray Serve's schema and by ours, and as safe as it looks."""

import re
import tomllib
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from pydantic import BaseModel

from voxray.config import parse
from voxray.errors import ConfigError
from voxray.serving.gateway.auth import AccessPolicy
from voxray.serving.settings import ServiceArgs

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Ray declares its own schema in pydantic's old way
    from ray.serve.schema import HTTPOptionsSchema, ServeApplicationSchema, ServeDeploySchema

NAMES = ["local.yaml", "config.yaml"]
KEY = {"VOXRAY_API_KEYS": "a-key"}


@pytest.fixture(params=NAMES)
def values(request: pytest.FixtureRequest, repository: Path) -> dict[str, Any]:
    """One of the files."""
    return read(repository / "serve" / request.param)


def read(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(file.read_text())
    return loaded


def args_of(values: dict[str, Any]) -> ServiceArgs:
    (application,) = values["applications"]
    return parse(ServiceArgs, application["args"])


def test_every_file_is_tested(repository: Path) -> None:
    assert sorted(f.name for f in (repository / "serve").glob("*.yaml")) == sorted(NAMES)


def test_a_file_is_valid_by_rays_schema(values: dict[str, Any]) -> None:
    assert ServeDeploySchema.model_validate(values).applications


def test_a_file_has_no_key_that_ray_would_ignore(values: dict[str, Any]) -> None:
    """Its schema takes any: those that it does not know may be for a newer Ray."""
    assert set(values) <= set(ServeDeploySchema.model_fields)
    assert set(values["http_options"]) <= set(HTTPOptionsSchema.model_fields)
    assert all(set(a) <= set(ServeApplicationSchema.model_fields) for a in values["applications"])


def test_its_arguments_are_the_services(values: dict[str, Any]) -> None:
    assert args_of(values).model == "tiny.en"


def test_its_application_can_be_imported(values: dict[str, Any]) -> None:
    from voxray.serving.ray.app import build

    (application,) = values["applications"]

    assert application["import_path"] == f"{build.__module__}:{build.__name__}"


def test_the_service_knows_where_it_listens(values: dict[str, Any]) -> None:
    """`args.host` decides whether strangers need a key; Ray listens on `http_options.host`."""
    assert args_of(values).host == values["http_options"]["host"]


def test_no_request_is_cut_off_by_a_timeout_of_rays(values: dict[str, Any]) -> None:
    """It would end a stream after as many seconds (ray.md, A1)."""
    assert ServeDeploySchema.model_validate(values).http_options.request_timeout_s is None


def test_production_asks_for_keys(repository: Path) -> None:
    args = args_of(read(repository / "serve" / "config.yaml"))
    keyless = args.model_copy(update={"access": args.access.model_copy(update={"keys_file": None})})

    assert args.access.keys_file
    assert not args.access.allow_anonymous
    assert AccessPolicy.of(keyless, KEY).keys
    with pytest.raises(ConfigError, match="expected keys"):
        AccessPolicy.of(keyless, {})


def test_production_grows(repository: Path) -> None:
    args = args_of(read(repository / "serve" / "config.yaml"))

    assert 2 <= args.gateway.min < args.gateway.max
    assert 2 <= args.transcriber.min < args.transcriber.max


def keys_of(config: BaseModel, prefix: str = "") -> set[str]:
    """The dotted names of all values below `config`."""
    values = {f"{prefix}{name}": getattr(config, name) for name in type(config).model_fields}
    below = (keys_of(v, f"{k}.") if isinstance(v, BaseModel) else {k} for k, v in values.items())
    return set().union(*below)


def test_the_manual_lists_the_keys_that_there_are(repository: Path) -> None:
    manual = (repository / "serve" / "README.md").read_text().partition("## Configuration")[2]
    listed = set(re.findall(r"^\| `([a-z_.]+)` \|", manual, re.MULTILINE))

    assert listed == keys_of(ServiceArgs())


def test_the_starlette_that_is_asked_for_has_every_name_that_is_imported(repository: Path) -> None:
    """`WebSocketDisconnected` came with 1.7.0."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    requirements = map(Requirement, project["optional-dependencies"]["serve"])
    (starlette,) = (r.specifier for r in requirements if r.name == "starlette")

    assert not starlette.contains("1.6.0")
    assert starlette.contains("1.7.0")
    assert starlette.contains(version("starlette"))
