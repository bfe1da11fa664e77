"""A sweep as a Ray job on two CPUs: killed and resumed, with a trial that fails."""

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
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS

from voxray.audio import SAMPLE_RATE, decode
from voxray.cluster import OBJECT_STORE_BYTES
from voxray.corpora.labelled import SCHEMA
from voxray.whisper.checkpoint import load_model, parameters

pytestmark = pytest.mark.ray

SPLITS = [*["train"] * 6, *["dev"] * 2, *["test"] * 2]
CLUSTER = """
import sys, ray
port, folder, store = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
ray.init(address="local", num_cpus=2, object_store_memory=store, include_dashboard=True, dashboard_port=port,
         log_to_driver=False, _temp_dir=folder)
# As `ray start` does: jobs join the cluster that is named there, else any one of this machine.
with open(f"{folder}/ray_current_cluster", "w") as file:
    file.write(ray.get_runtime_context().gcs_address)
print("up", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster with two CPUs that takes jobs; its processes are below `process`."""

    process: subprocess.Popen[str]
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
    """A cluster of its own, because the session's has no dashboard and more CPUs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("s", numbered=True)
    words = [sys.executable, "-c", CLUSTER, str(port), str(folder), str(OBJECT_STORE_BYTES)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert "up" in process.stdout.readline()
        yield Cluster(process, f"http://127.0.0.1:{port}")
        process.stdin.close()


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
