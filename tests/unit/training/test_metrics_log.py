import json
from pathlib import Path

import pytest

from voxray.config import load
from voxray.errors import ConfigError
from voxray.training.loop import Progress
from voxray.training.metrics_log import WANDB_ID, LogOptions, MetricsLog, has_wandb

PROGRESS = Progress(
    step=10,
    max_steps=100,
    epoch=1,
    samples=80,
    learning_rate=1e-4,
    loss=2.0,
    ce=1.5,
    kl=0.5,
    ctc=0.0,
    gradient_norm=1.0,
    samples_per_s=20.0,
    audio_s_per_s=90.0,
    threads=2,
)


def write(options: LogOptions, out: Path, wer: float) -> None:
    """Log as a process does that trains to step 10."""
    log = MetricsLog(options, out, {"learning_rate": 1e-4})
    log.report(PROGRESS)
    log.evaluated(10, wer)
    log.close()


def test_each_line_says_when_its_process_started_and_how_long_it_worked(tmp_path: Path) -> None:
    write(LogOptions(), tmp_path / "out", 9.0)
    write(LogOptions(), tmp_path / "out", 8.0)
    found = [json.loads(line) for line in (tmp_path / "out" / "progress.jsonl").read_text().splitlines()]

    assert [line.get("wer") for line in found] == [None, 9.0, None, 8.0]
    assert found[0].items() >= {"step": 10, "loss": 2.0, "threads": 2}.items()
    assert found[0]["started"] == found[1]["started"] < found[2]["started"]
    assert 0 <= found[0]["elapsed_s"] <= found[1]["elapsed_s"] < 60
    assert len(list((tmp_path / "out" / "tensorboard").glob("events.out.tfevents.*"))) == 2
    assert not (tmp_path / "out" / WANDB_ID).exists()


def test_a_line_that_was_cut_short_is_dropped_by_the_next_process(tmp_path: Path) -> None:
    write(LogOptions(), tmp_path, 9.0)
    file = tmp_path / "progress.jsonl"
    whole = file.read_text()
    file.write_text(whole + whole[:20])

    write(LogOptions(), tmp_path, 8.0)

    assert [json.loads(line).get("wer") for line in file.read_text().splitlines()] == [None, 9.0, None, 8.0]


@pytest.mark.skipif(has_wandb(), reason="wandb is installed here")
def test_wandb_that_is_not_installed_is_refused_though_a_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(
        ConfigError,
        match=r"'wandb_project': expected null, as the package wandb is not installed .*, got 'speech'\.",
    ):
        load(LogOptions, None, ["wandb_project=speech"])


@pytest.mark.skipif(not has_wandb(), reason="wandb is not installed: pip install 'voxray[wandb]'")
def test_a_run_that_is_resumed_is_the_same_run_of_wandb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    options = load(LogOptions, None, ["wandb_project=speech"])
    write(options, tmp_path / "out", 9.0)
    write(options, tmp_path / "out", 8.0)

    own_id = (tmp_path / "out" / WANDB_ID).read_text().strip()
    logs = list((tmp_path / "out" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert {log.name for log in logs} == {f"run-{own_id}.wandb"}
    written = b"".join(log.read_bytes() for log in logs)
    assert all(written.count(key) >= 2 for key in (b"dev/wer", b"train/loss", b"learning_rate"))
