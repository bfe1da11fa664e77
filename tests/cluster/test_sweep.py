"""A sweep as a Ray job on two CPUs: killed and resumed, with a trial that fails."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from ray.job_submission import JobSubmissionClient
from tests.service.launched import wait_until
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS

from voxray.audio import SAMPLE_RATE, decode
from voxray.cluster import OBJECT_STORE_BYTES
from voxray.corpora.labelled import SCHEMA
from voxray.whisper.checkpoint import load_model, parameters

pytestmark = pytest.mark.ray

SPLITS = [*["train"] * 6, *["dev"] * 2, *["test"] * 2]
STARTED_S = 120.0  # for a cluster to take jobs, on a busy machine


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster with two CPUs that takes jobs; its processes are below `process`."""

    process: subprocess.Popen[bytes]
    address: str

    def submit(self, repository: Path, *words: str) -> subprocess.Popen[str]:
        """`ray job submit` of the sweep with `words`, whose log is on stdout."""
        environment = json.dumps({"env_vars": {"PYTHONPATH": str(repository / "platform")}})
        command = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--address", self.address]
        command += ["--runtime-env-json", environment, "--", sys.executable]
        return subprocess.Popen(
            [*command, str(repository / "jobs/sweep.py"), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},  # the log, as it comes
        )

    def kill_drivers(self) -> None:
        """Kill the sweep as `kill -9` does; the test fails where it does not run."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        drivers = [p for p in below if any(word.endswith("jobs/sweep.py") for word in p.cmdline()[:2])]
        assert drivers
        for driver in drivers:
            driver.send_signal(signal.SIGKILL)


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of its own, because the session's has no dashboard and more CPUs; on free ports."""
    dashboard, *others = free_ports(4)
    ports = ("--port", "--dashboard-agent-listen-port", "--ray-client-server-port")
    words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2"]
    words += [f"--temp-dir={tmp_path_factory.mktemp('s', numbered=True)}", f"--dashboard-port={dashboard}"]
    words += [f"--object-store-memory={OBJECT_STORE_BYTES}", "--node-ip-address=127.0.0.1"]
    words += [f"{name}={port}" for name, port in zip(ports, others, strict=True)]
    address = f"http://127.0.0.1:{dashboard}"
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: takes_jobs(address), STARTED_S)
            yield Cluster(process, address)
        finally:
            process.terminate()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [s.getsockname()[1] for s in sockets]


def takes_jobs(address: str) -> bool:
    """Return whether the cluster runs a job; one whose agent has not started refuses it."""
    try:
        JobSubmissionClient(address).submit_job(entrypoint="true")
    except (ConnectionError, RuntimeError):
        return False
    return True


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Clips as a teacher without errors would have labelled them, but for one."""
    clips = sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[: len(SPLITS)]
    rows = [labelled_row(clip, split) for clip, split in zip(clips, SPLITS, strict=True)]
    rows[0] |= {"pseudo_text": "nonsense", "substitutions": 4, "reference_length": 4}
    folder = tmp_path / "labels" / "labelled"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "shard-0.parquet")
    return folder.parent


def labelled_row(clip: Path, split: str) -> dict[str, Any]:
    pcm, text = decode(clip), clip.with_suffix(".txt").read_text().strip()
    return {
        **dict.fromkeys(SCHEMA.names),
        **{"id": clip.stem, "audio": pcm.astype("<i2").tobytes(), "duration_s": len(pcm) / SAMPLE_RATE},
        **{"text": text, "pseudo_text": text, "language": "en", "split": split, "no_speech": False},
        **{"words": [], "reference_length": len(text.split())},
        **{"substitutions": 0, "deletions": 0, "insertions": 0},
        **{"avg_logprob": -0.1, "compression_ratio": 1.0, "chars_per_s": 12.0},
    }


def read_until(job: subprocess.Popen[str], *words: str) -> list[str]:
    """Read the log up to the line that has all `words`; the test fails where it ends before."""
    assert job.stdout is not None
    seen = []
    for line in job.stdout:
        seen.append(line)
        if all(word in line for word in words):
            return seen
    return pytest.fail(f"no {words} in {''.join(seen)[-3000:]}")


def test_a_killed_sweep_goes_on_and_a_trial_that_fails_leaves_the_others(
    cluster: Cluster, labelled: Path, repository: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = [f"labelled={labelled}", f"teacher={SMALL_MODEL}", f"out={out}", "trials=3", "max_steps=6"]
    words += ["evaluate_every=2", "wer_threshold=[10, null]", "decoder_layers=[1, 2]", "threads=1"]
    words += ["kl_weight=[0, 1]", "teacher_cache=1"]
    words += ["learning_rate=[1e-4, 1e38]", "reduction_factor=2", "plan.batch_s=8", "plan.full_probability=0"]
    with cluster.submit(repository, *words) as job:
        read_until(job, "dev WER")
        cluster.kill_drivers()
        job.communicate()
    assert job.returncode != 0
    assert not (out / "result.json").exists()
    before = {place: place.stat().st_mtime_ns for place in out.rglob("audio.s16")}
    evaluated = {file: file.read_text() for file in out.glob("trials/*/progress.jsonl")}
    assert evaluated

    with cluster.submit(repository, *words) as job:
        log, _ = job.communicate()
    assert job.returncode == 0, log[-3000:]
    result = json.loads((out / "result.json").read_text())
    table = {t["name"]: t for t in json.loads((out / "trials.json").read_text())["table"]}

    assert {place: place.stat().st_mtime_ns for place in out.rglob("audio.s16")} == before
    assert len(before) == 3  # one store for each split, none for a trial
    assert all(file.read_text().startswith(text) for file, text in evaluated.items())
    assert sorted(table) == ["trial-000", "trial-001", "trial-002"]
    assert result["finished"] + result["stopped"] + result["failed"] == 3
    failed = [t for t in table.values() if t["status"] == "failed"]
    assert failed
    assert all("the loss is nan; lower learning_rate." in t["failure"] for t in failed)
    winner = table[result["best"]]
    assert winner["pareto"]
    assert winner["wer"] == min(t["wer"] for t in table.values() if t["status"] != "failed")
    assert result["wer_test"] is not None
    student = load_model(out / "best" / "model")
    assert parameters(student) == result["parameters"]
    assert student.config.decoder_layers == result["decoder_layers"]
    checkpoint = torch.load(out / "best" / "checkpoint" / "state.pt", weights_only=True)
    assert 0 < checkpoint["loop"]["step"] <= 6
    assert "trial-002" in (out / "report.html").read_text()
