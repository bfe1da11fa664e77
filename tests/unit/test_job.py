import errno
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray import remote_out
from voxray.config import Config
from voxray.errors import ConfigError, OutputError, TrainingError
from voxray.job import Result, explain, main, prepare_out, to_json
from voxray.remote_out import OutFolder


class Options(Config):
    out: Path | None = None
    steps: int = 3


def run(options: Options) -> Result:
    return {"steps": options.steps, "wer": 0.123456, "parts": [1, 2], "loss": float("nan")}


def test_a_job_ends_in_one_line_of_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status = main("A job.", Options, run, ["steps=5", f"out={tmp_path}"])

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert json.loads(lines[-1]) == {"steps": 5, "wer": 0.123456, "parts": [1, 2], "loss": None}
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(lines[-1])
    assert any("wer" in line and "0.1235" in line for line in lines[:-1])


def test_a_config_and_words_come_in_any_order(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("steps: 7\n")

    assert main("A job.", Options, run, ["--config", str(file)]) == 0
    assert main("A job.", Options, run, ["steps=8", "--config", str(file)]) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [r["steps"] for r in results] == [7, 8]


def test_an_expected_error_is_one_sentence_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    status = main("A job.", Options, run, ["step=5"])

    captured = capsys.readouterr()
    assert status == 1
    assert captured.out == ""
    assert captured.err == "error: command line: unknown key 'step'; did you mean 'steps'?\n"


def test_an_option_without_its_value_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main("A job.", Options, run, ["--config"])

    assert caught.value.code == 2
    assert "--config" in capsys.readouterr().err


def test_keys_may_be_written_as_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("A job.", Options, run, ["--steps=5"]) == 0
    assert main("A job.", Options, run, ["--steps", "5"]) == 0
    assert main("A job.", Options, run, ["--step=5"]) == 1
    assert "unknown key 'step'; did you mean 'steps'?" in capsys.readouterr().err


def test_a_full_disk_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    def fills_the_disk(options: Options) -> Result:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/labels.parquet")

    assert main("A job.", Options, fills_the_disk, []) == 1
    assert capsys.readouterr().err == (
        "error: /data/labels.parquet: No space left on device; free some room or choose another place.\n"
    )


def test_a_defect_is_not_hidden() -> None:
    def divides_by_zero(options: Options) -> Result:
        return {"rate": 1 // 0}

    with pytest.raises(ZeroDivisionError):
        main("A job.", Options, divides_by_zero, [])


class Wrapped(TrainingError):
    """As Ray's task error: of the cause's class, with a traceback as its message and `cause` inside."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("Traceback (most recent call last):\n  ...")
        self.cause = cause


class WorkersFailed(RuntimeError):
    """As Ray Train's: what each worker raised, by rank."""

    def __init__(self, worker_failures: dict[int, Exception]) -> None:
        super().__init__("Training failed due to worker errors")
        self.worker_failures = worker_failures


def test_the_sentence_is_found_inside_what_ray_wraps_around_it() -> None:
    cause = TrainingError("threshold 0.0: expected clips to train on, and it drops all 40.")

    assert explain(Wrapped(cause)) == str(cause)
    assert explain(WorkersFailed({0: Wrapped(cause)})) == str(cause)
    error = RuntimeError("outer")
    error.__cause__ = Wrapped(cause)
    assert explain(error) == str(cause)


def test_a_foreseen_error_that_has_a_cause_is_reported_itself() -> None:
    error = ConfigError("run.yaml: expected YAML.")
    error.__cause__ = ConfigError("inner")

    assert explain(error) == "run.yaml: expected YAML."


def test_causes_that_go_in_a_circle_end() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first

    assert explain(first) is None


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.floats(), st.integers(), st.text(max_size=5))))
def test_results_are_json_that_every_reader_takes(result: dict[str, object]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert set(json.loads(to_json(result), parse_constant=refuse)) == set(result)


def test_an_out_that_holds_something_is_refused_without_overwrite(tmp_path: Path) -> None:
    (tmp_path / "weights").touch()

    with pytest.raises(OutputError, match="got one with files; add overwrite=true"):
        prepare_out(tmp_path, overwrite=False)
    assert prepare_out(tmp_path, overwrite=True) == tmp_path
    assert (tmp_path / "weights").exists()


def test_an_unfinished_run_may_be_resumed_and_a_finished_one_not(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").touch()
    assert prepare_out(tmp_path, overwrite=False, resume=True) == tmp_path

    (tmp_path / "result.json").touch()
    with pytest.raises(OutputError):
        prepare_out(tmp_path, overwrite=False, resume=True)


def test_an_out_is_made_with_its_parents(tmp_path: Path) -> None:
    assert prepare_out(tmp_path / "a" / "b", overwrite=False).is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_an_out_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()

    with pytest.raises(OutputError, match=r"out: expected a folder that can be written, got another \("):
        prepare_out(tmp_path / "out", overwrite=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_an_out_that_is_read_only_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)

    with pytest.raises(OutputError, match="Permission denied"):
        prepare_out(tmp_path / "out", overwrite=False)


def test_an_out_below_a_file_of_the_system_is_named() -> None:
    with pytest.raises(OutputError, match="expected a folder that can be written"):
        prepare_out(Path("/proc/voxray/out"), overwrite=False)


def test_a_result_is_copied_to_the_url_of_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Remote(Config):
        out: OutFolder

    def run(options: Remote) -> Result:
        (prepare_out(options.out, overwrite=False, resume=True) / "model").write_text("weights")
        return {"wer": 4.0}

    monkeypatch.setattr(remote_out, "CACHE", tmp_path / "cache")
    url = f"file://{tmp_path}/bucket/run"
    assert main("doc", Remote, run, [f"out={url}"]) == 0
    assert json.loads((tmp_path / "bucket" / "run" / "result.json").read_text()) == {"wer": 4.0}
    assert (tmp_path / "bucket" / "run" / "model").read_text() == "weights"
    assert main("doc", Remote, run, [f"out={url}"]) == 1  # it is finished, there as here
