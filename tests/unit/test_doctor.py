import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from voxray.cli import app
from voxray.doctor import CODECS, Finding, examine, guarded, healthy, sample_clip, show, unloadable


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    return {f.name: f for f in examine()}


def test_the_base_works_here(findings: dict[str, Finding]) -> None:
    assert healthy(list(findings.values())), [f for f in findings.values() if f.state == "broken"]


def test_every_codec_decodes_here(findings: dict[str, Finding]) -> None:
    assert {name: findings[name].state for name in CODECS} == dict.fromkeys(CODECS, "works")


def test_the_default_model_runs_and_transcribes(findings: dict[str, Finding]) -> None:
    assert "2 s -> (1, 100, 384)" in findings["forward pass"].detail
    assert findings["transcription"].detail.startswith(f"{sample_clip().name}: ")


def test_versions_cores_and_memory_are_reported(findings: dict[str, Finding]) -> None:
    assert findings["ray"].detail[0].isdigit()
    assert int(findings["cores"].detail) >= 1
    assert findings["memory"].detail.endswith(" GiB")
    assert {"ray data", "ray train", "ray tune", "ray serve", "gpu", "torch"} <= set(findings)


def test_what_is_missing_explains_how_to_get_it() -> None:
    absent = Finding("torch", "absent", "not installed", "pip install 'voxray[train]'")

    assert healthy([absent])
    assert not healthy([absent, Finding("av", "broken", "not installed", "pip install av")])


def test_the_table_is_followed_by_a_line_per_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        [
            Finding("av", "works", "1"),
            Finding("torch", "absent", "not installed", "pip install 'voxray[train]'"),
        ]
    )

    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "torch is absent: pip install 'voxray[train]'"
    assert "av is" not in out


def test_a_library_that_cannot_be_loaded_says_why() -> None:
    assert unloadable("libc.so.6") is None
    assert "libnothere.so.12" in (unloadable("libnothere.so.12") or "")


def test_a_check_that_raises_becomes_a_finding_and_keeps_those_before() -> None:
    def check() -> Iterator[Finding]:
        yield Finding("first", "works", "fine")
        raise ImportError("libsomething.so.3: cannot open\nshared object file")

    assert list(guarded("second", check)) == [
        Finding("first", "works", "fine"),
        Finding(
            "second",
            "broken",
            "ImportError: libsomething.so.3: cannot open shared object file",
            "reinstall: pip install --force-reinstall voxray",
        ),
    ]


def test_the_command_has_a_form_for_programs() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    found = json.loads(result.stdout)

    assert result.exit_code == 0
    assert found["works"] is True
    assert {"name", "state", "detail", "remedy"} == set(found["findings"][0])
