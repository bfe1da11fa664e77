"""What `make serve` is told: the file that `serve deploy` takes, and words that change it."""

from pathlib import Path

import pytest

from voxray.errors import ConfigError
from voxray.serving.ray.launch import main, read


@pytest.fixture
def local(repository: Path) -> str:
    return str(repository / "serve" / "local.yaml")


@pytest.mark.parametrize("name", ["local.yaml", "config.yaml"])
def test_the_files_that_come_with_it_are_read(repository: Path, name: str) -> None:
    address, args = read([str(repository / "serve" / name)])

    assert address.port == 8000
    assert args.model == "tiny.en"
    assert args.host == address.host


def test_words_change_the_address_and_the_service(local: str) -> None:
    address, args = read([local, "port=9000", "haproxy=off", "model=/m", "limits.sessions=7"])

    assert (address.port, address.haproxy) == (9000, "off")
    assert (args.model, args.limits.sessions) == ("/m", 7)
    assert args.limits.sessions_per_actor == 64
    assert args.transcriber.cpus == 1


def test_a_word_changes_one_key_of_a_group(local: str) -> None:
    _, args = read([local, "gateway.max=3"])

    assert (args.gateway.max, args.gateway.cpus) == (3, 0.5)


def test_a_word_is_held_against_what_the_file_has(repository: Path) -> None:
    _, args = read([str(repository / "serve" / "config.yaml"), "transcriber.min=9"])

    assert (args.transcriber.min, args.transcriber.max) == (9, 16)


def test_the_service_knows_where_it_listens(local: str) -> None:
    _, args = read([local, "host=0.0.0.0"])

    assert args.host == "0.0.0.0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected a file"),
        (["port=1"], "expected a file"),
        (["LOCAL", "prot=1"], "prot"),
        (["LOCAL", "limits.sesions=1"], "sesions"),
        (["LOCAL", "port=x"], "port"),
        (["LOCAL", "transcriber.min=2"], "transcriber': expected min to be at most max, which is 1"),
        (["LOCAL", "gateway.gpus=1"], "gateway.gpus"),
        (["LOCAL", "gateway.queue_delay_s=1"], "gateway.queue_delay_s"),
        (["LOCAL", "transcriber=4"], "transcriber"),
    ],
)
def test_a_mistake_ends_in_one_sentence(
    local: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main([w.replace("LOCAL", local) for w in words])

    assert status == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_two_applications_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text("applications: [{name: a}, {name: b}]\n")

    with pytest.raises(ConfigError, match="got 2"):
        read([str(file)])
