"""Strict configuration: YAML and `key=value` words become one frozen model; an unknown key is an error."""

import difflib
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from voxray.errors import ConfigError


class Config(BaseModel):
    """Base of every configuration: frozen, and without room for unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


C = TypeVar("C", bound=Config)


def load(model: type[C], file: Path | None = None, overrides: Sequence[str] = ()) -> C:
    """`model` from `file` (YAML) with `overrides` (`key=value`, dots for nesting, values as YAML) on top.

    Raises ConfigError naming the key, what was expected, and the nearest known key.
    """
    values = overridden(read_yaml(file) if file else {}, overrides)
    places = [str(file)] if file else []
    return parse(model, values, where=" and ".join([*places, "command line"] if overrides else places))


def parse(model: type[C], values: Mapping[str, Any], where: str = "") -> C:
    """`values` as a `model`, or a ConfigError that names the first thing that is wrong in `where`."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as e:
        raise ConfigError(f"{where or 'configuration'}: {_explain(model, e)}") from e


def overridden(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of `values` with `overrides` (`key=value`, as `load` takes them) on top, not checked further."""
    changed = deepcopy(dict(values))
    for word in overrides:
        _assign(changed, word)
    return changed


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping in `file`; an empty file is an empty mapping."""
    try:
        values = _parse_yaml(file.read_text(encoding="utf-8"))
    except OSError as e:
        raise ConfigError(f"{file}: expected a YAML file, and it cannot be read ({e.strerror}).") from e
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file}: expected YAML, and it does not parse ({_one_line(e)}).") from e
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
    try:
        values[last] = _parse_yaml(text) if text else ""
    except yaml.YAMLError as e:
        raise ConfigError(
            f"{word!r}: expected a YAML value, and it does not parse ({_one_line(e)}); put it in quotes."
        ) from e


def _parse_yaml(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # a SafeLoader with fewer types


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain values: YAML 1.1 reads 1e-4 as text, `no` (Norwegian) as false and 1:30 as 90."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # as PyYAML has it


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?(0|[1-9][0-9_]*)", [*"-+0123456789"]),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+",
        [*"-+.0123456789"],
    ),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", [*"-+."]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or model.__name__
    if first["type"] == "extra_forbidden":
        known = sorted(_fields(model, first["loc"][:-1]))
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}."
        return f"unknown key {key!r}; {hint}"
    if first["type"] == "missing":
        return f"{key!r} is needed; add {key}=VALUE."
    return f"{key!r}: {first['msg'].lower().removeprefix('value error, ')}, and {first['input']!r} came."


def _fields(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """The keys known at `path` below `model`; those of the innermost model that the path reaches."""
    for part in path:
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field else None
        inner = [t for t in (annotation, *get_args(annotation)) if isinstance(t, type)]
        model = next((t for t in inner if issubclass(t, BaseModel)), model)
    return list(model.model_fields)
