from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from voxray.config import Config, load, parse, read_yaml
from voxray.errors import ConfigError


class Schedule(Config):
    renamed = {"steps": "warmup"}  # noqa: RUF012  # declared as a Mapping by Config
    kind: str = "constant"
    warmup: int = 0


class Options(Config):
    corpus: Path
    language: str | None = None
    learning_rate: float = 1e-3
    max_steps: int = 100
    overwrite: bool = False
    layers: tuple[int, ...] = ()
    threshold: float | None = None
    decoder_layers: int | tuple[int, ...] = 2
    schedule: Schedule = Schedule()
    decay: Schedule = Schedule(kind="linear")


def options(*words: str) -> Options:
    return load(Options, words=["corpus=clips", *words])


def test_defaults_stand_without_given_values() -> None:
    assert options() == Options(corpus=Path("clips"))


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("learning_rate=1e-4", "learning_rate", 1e-4),
        ("learning_rate=3E5", "learning_rate", 3e5),
        ("learning_rate=.5", "learning_rate", 0.5),
        ("threshold=1e-4", "threshold", 1e-4),
        ("threshold=null", "threshold", None),
        ("decoder_layers=1", "decoder_layers", 1),
        ("decoder_layers=[-1]", "decoder_layers", (-1,)),
        ("--max_steps=5", "max_steps", 5),
        ("max_steps=-5", "max_steps", -5),
        ("max_steps=10_000", "max_steps", 10_000),
        ("overwrite=true", "overwrite", True),
        ("language=no", "language", "no"),
        ("language=null", "language", None),
        ("language=", "language", ""),
        ("layers=[0, 3]", "layers", (0, 3)),
        ("corpus=s3://bucket/a=b", "corpus", Path("s3://bucket/a=b")),
        ("schedule.warmup=5", "schedule", Schedule(warmup=5)),
        ("schedule={kind: linear, warmup: 2}", "schedule", Schedule(kind="linear", warmup=2)),
        ("decay.warmup=5", "decay", Schedule(kind="linear", warmup=5)),
        ("decay={warmup: 5}", "decay", Schedule(kind="linear", warmup=5)),
    ],
)
def test_a_word_sets_its_key(word: str, key: str, value: object) -> None:
    found = getattr(options(word), key)

    assert found == value
    assert type(found) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_that_python_writes_is_read_back(number: float) -> None:
    assert options(f"threshold={number!r}").threshold == number


def test_words_go_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("corpus: a\nlearning_rate: 1e-4\nschedule:\n  kind: cosine\n  warmup: 9\n")

    found = load(Options, file, ["schedule.warmup=1", "corpus=b"])

    assert found.corpus == Path("b")
    assert found.learning_rate == 1e-4
    assert found.schedule == Schedule(kind="cosine", warmup=1)


def test_a_file_keeps_scalars_as_text_but_for_null(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "rate: 1e-4\nlanguage: no\nat: 1:30\nnone: ~\nnothing: null\nnamed: 'null'\nlist: [0, 3]\n"
    )

    assert read_yaml(file) == {
        **{"rate": "1e-4", "language": "no", "at": "1:30", "none": None, "nothing": None, "named": "null"},
        "list": ["0", "3"],
    }


def test_a_value_of_a_file_has_the_type_of_its_field(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "corpus: a\nlearning_rate: 1e-4\nlanguage: no\noverwrite: true\nlayers: [0, 3]\nthreshold: null\n"
    )

    found = load(Options, file)

    assert (found.learning_rate, found.language, found.overwrite) == (1e-4, "no", True)
    assert (found.layers, found.threshold) == ((0, 3), None)


def test_the_last_of_repeated_words_counts_for_lists_too() -> None:
    assert options("max_steps=1", "max_steps=2").max_steps == 2
    assert options("layers=[0]", "layers=[1, 2]").layers == (1, 2)


def test_a_name_of_digits_is_a_name() -> None:
    assert options("language=12").language == "12"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["max_step=5"], r"command line: unknown key 'max_step'; did you mean 'max_steps'\?"),
        (["zzz=5"], r"unknown key 'zzz'; known keys: corpus, decay, "),
        (["schedule.warm=5"], r"unknown key 'schedule.warm'; did you mean 'warmup'\?"),
        (["schedule.steps=5"], r"unknown key 'schedule.steps'; write warmup instead\."),
        (["max_steps=many"], r"'max_steps': input should be a valid integer.*, got 'many'"),
        (["max_steps"], r"expected key=value, got 'max_steps'"),
        (["=5"], r"expected key=value, got '=5'"),
        (["max_steps=1", "max_steps.x=2"], r"unknown key 'max_steps.x'"),
        (["layers=[1, 2"], r"'layers=\[1, 2': expected a YAML value.*quotes"),
        (["schedule=linear"], r"'schedule': input should be a valid dictionary.*, got 'linear'"),
    ],
)
def test_a_wrong_word_is_named(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        options(*words)

    assert "\n" not in str(caught.value)


def test_a_key_that_is_needed_is_named() -> None:
    with pytest.raises(ConfigError, match="'corpus' is needed; add corpus=VALUE"):
        load(Options)


def test_the_file_is_named_with_its_unknown_key(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("corpus: a\nlearning_rat: 1\n")

    with pytest.raises(
        ConfigError, match=r"run\.yaml: unknown key 'learning_rat'; did you mean 'learning_rate'\?"
    ):
        load(Options, file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a\n- b\n", "expected a mapping of keys to values, got a list"),
        (b"a: [1,\n", "expected YAML, got text that does not parse"),
        (b"a: \xff\xfe\n", "expected YAML, got text that does not parse"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=message) as caught:
        read_yaml(file)

    assert "\n" not in str(caught.value)


def test_a_tag_of_a_file_builds_nothing(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("a: !!python/object/apply:os.getcwd []\n")

    assert read_yaml(tmp_path / "run.yaml") == {"a": []}


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: expected a YAML file, .*No such file"):
        read_yaml(Path("none.yaml"))


def test_an_empty_file_is_an_empty_mapping(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").touch()

    assert read_yaml(tmp_path / "run.yaml") == {}


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        options().max_steps = 5


def test_parse_names_its_place() -> None:
    with pytest.raises(ConfigError, match=r"voxray\.json: 'warmup'"):
        parse(Schedule, {"warmup": "soon"}, where="voxray.json")
