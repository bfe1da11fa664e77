"""Strict configuration: YAML and `key=value` words become one frozen model; an unknown key is an error.

Scalars stay text until the type of their field reads them, so that `language: no` is Norwegian and `1e-4` a
number. pydantic-settings parses the words and writes `--help` from the fields and their docstrings.
"""

import difflib
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from voxray.errors import ConfigError


class Config(BaseModel):
    """Base of every configuration: frozen, and without room for unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", coerce_numbers_to_str=True, use_attribute_docstrings=True
    )
    renamed: ClassVar[Mapping[str, str]] = {}
    """Old keys and what to write instead."""


def _lower_first(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError("expected the lower bound first")
    return bounds


C = TypeVar("C", bound=Config)
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Range = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_lower_first)]
PositiveRange = Annotated[tuple[Positive, Positive], AfterValidator(_lower_first)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
NonNegativeRange = Annotated[tuple[NonNegative, NonNegative], AfterValidator(_lower_first)]


def load(
    model: type[C],
    given: Path | Mapping[str, Any] | None = None,
    words: Sequence[str] = (),
    *,
    where: str = "",
    parser: ArgumentParser | None = None,
) -> C:
    """Return a `model` of `given` (a YAML file or its values) with `words` on top.

    Words are `key=value` or `--key=value`, with dots for nesting and YAML for lists and mappings. A group of
    which only some keys are given keeps its other defaults. `parser` gets an option for every key; if it has
    a `--config` of its own, that is the file. Raises ConfigError naming the key, what was expected, and the
    nearest known key.
    """
    overrides, file = _parse_words(model, words, parser) if words or parser else ({}, None)
    given = file or given
    values = read_yaml(given) if isinstance(given, Path) else given or {}
    groups = {k: f.default.model_dump() for k, f in model.model_fields.items() if _is_group(f.default)}
    places = [where or (str(given) if isinstance(given, Path) else ""), "command line" if overrides else ""]
    whole = _merge(
        _merge({k: v for k, v in groups.items() if k in {**values, **overrides}}, values), overrides
    )
    return parse(model, whole, where=" and ".join(filter(None, places)))


def parse(model: type[C], values: Mapping[str, Any], where: str = "") -> C:
    """Return `values` as a `model`; ConfigError names the first thing that is wrong in `where`."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as e:
        raise ConfigError(f"{where or 'configuration'}: {_explain(model, e)}") from e


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the mapping in `file`, its scalars as text but for null; an empty file is an empty mapping."""
    try:
        values = yaml.load(file.read_text(encoding="utf-8"), _TextLoader)  # builds nothing but text
    except OSError as e:
        raise ConfigError(f"{file}: expected a YAML file, got one that cannot be read ({e.strerror}).") from e
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file}: expected YAML, got text that does not parse ({_one_line(e)}).") from e
    if not isinstance(values, dict | None):
        raise ConfigError(f"{file}: expected a mapping of keys to values, got a {type(values).__name__}.")
    return values or {}


class _TextLoader(yaml.BaseLoader):
    """YAML whose scalars are text but for null: YAML 1.1 would read `no` as false and 1e-4 as text."""


_TextLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""])
_TextLoader.add_constructor("tag:yaml.org,2002:null", lambda loader, node: None)


def _parse_words(
    model: type[Config], words: Sequence[str], parser: ArgumentParser | None
) -> tuple[dict[str, Any], Path | None]:
    """Return the values that `words` set, and the `--config` that `parser` found among them."""
    # Not needed by clients, who import this module for their messages: 0.1 s.
    from pydantic_settings import CliSettingsSource, SettingsError

    class Source(CliSettingsSource[Any]):
        def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
            try:
                return yaml.load(value, _TextLoader)
            except yaml.YAMLError as e:
                raise ConfigError(
                    f"'{field_name}={value}': expected a YAML value, got one that does not parse "
                    f"({_one_line(e)}); put it in quotes."
                ) from e

    found = Namespace()

    def parse_args(parser: ArgumentParser, args: list[str]) -> Namespace:
        _, unknown = parser.parse_known_args(args, found)
        if unknown:
            raise ConfigError(f"command line: {_explain_word(model, unknown[0])}")
        # Of a word that is repeated the last one counts, for lists too.
        last = {k: v[-1] if isinstance(v, list) else v for k, v in vars(found).items() if k != "config"}
        return Namespace(**last)

    try:
        source = Source(
            model,  # type: ignore[arg-type]  # only the fields and model_config are read
            cli_parse_args=[f"--{w}" if re.match(r"[^\W\d][\w.-]*=", w) else w for w in words],
            cli_use_class_docs_for_groups=True,
            root_parser=parser or ArgumentParser(add_help=False, allow_abbrev=False),
            parse_args_method=parse_args,
        )
        return source(), getattr(found, "config", None)
    except SettingsError as e:
        raise ConfigError(f"command line: {e.__cause__ or e}") from e


def _merge(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with those of `over` in their place, mapping by mapping."""
    both = (k for k in over if isinstance(values.get(k), dict) and isinstance(over[k], dict))
    return {**values, **over, **{k: _merge(values[k], over[k]) for k in both}}


def _is_group(default: object) -> bool:
    return isinstance(default, BaseModel)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _explain_word(model: type[Config], word: str) -> str:
    key, equals, _ = word.removeprefix("--").partition("=")
    if not key or not (equals or word.startswith("--")):
        return f"expected key=value, got {word!r}; write for example max_steps=100."
    return _explain_unknown(model, key.split("."))


def _explain(model: type[Config], error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or model.__name__
    if first["type"] == "extra_forbidden":
        return _explain_unknown(model, first["loc"])
    if first["type"] == "missing":
        return f"{key!r} is needed; add {key}=VALUE."
    return f"{key!r}: {first['msg'].lower().removeprefix('value error, ')}, got {first['input']!r}."


def _explain_unknown(model: type[Config], path: Sequence[int | str]) -> str:
    key, last = ".".join(map(str, path)), str(path[-1])
    group = _innermost(model, path[:-1])
    if last in group.renamed:
        return f"unknown key {key!r}; write {group.renamed[last]} instead."
    known = sorted(group.model_fields)
    near = difflib.get_close_matches(last, known, n=1)
    return f"unknown key {key!r}; " + (
        f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}."
    )


def _innermost(model: type[Config], path: Sequence[int | str]) -> type[Config]:
    """Return the innermost configuration below `model` that `path` reaches."""
    for part in path:
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field else None
        inner = [t for t in (annotation, *get_args(annotation)) if isinstance(t, type)]
        model = next((t for t in inner if issubclass(t, Config)), model)
    return model
