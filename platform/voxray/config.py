"""Strict configuration: YAML and `key=value` words become one frozen model; an unknown key is an error."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from voxray.errors import ConfigError


class Config(BaseModel):
    """Base of every configuration: frozen, and without room for unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


C = TypeVar("C", bound=Config)


def load(model: type[C], file: Path | None = None, overrides: Sequence[str] = ()) -> C:
    """`model` from `file` (YAML) with `overrides` (`key=value`, dots for nesting, values as YAML) on top.

    Raises ConfigError naming the key, what was expected, and the nearest known key.
    """
    values = read_yaml(file) if file else {}
    for word in overrides:
        _assign(values, word)
    return parse(model, values, where=str(file) if file else "command line")


def parse(model: type[C], values: Mapping[str, Any], where: str) -> C:
    """`values` as a `model`, or a ConfigError that names the first thing that is wrong in `where`."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as e:
        raise ConfigError(f"{where}: {_explain(model, e)}") from e


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping in `file`; an empty file is an empty mapping."""
    try:
        values = yaml.safe_load(file.read_text())
    except OSError as e:
        raise ConfigError(f"{file}: expected a YAML file, and it cannot be read ({e.strerror}).") from e
    except yaml.YAMLError as e:
        raise ConfigError(f"{file}: expected YAML, and it does not parse ({e}).") from e
    if not isinstance(values, dict | None):
        raise ConfigError(
            f"{file}: expected a mapping of keys to values, and it is a {type(values).__name__}."
        )
    return values or {}


def _assign(values: dict[str, Any], word: str) -> None:
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise ConfigError(f"expected key=value, and {word!r} came; write for example max_steps=100.")
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{word!r}: {parent} is one value, not a group of keys.")
    values[last] = yaml.load(text, Loader=_Loader) if text else ""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-4 as text; here it is the number that everyone means."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    __import__("re").compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or model.__name__
    if first["type"] == "extra_forbidden":
        known = sorted(model.model_fields)
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}."
        return f"unknown key {key!r}; {hint}"
    if first["type"] == "missing":
        return f"{key!r} is needed; add {key}=VALUE."
    return f"{key!r}: {first['msg'].lower().removeprefix('value error, ')}, and {first['input']!r} came."
