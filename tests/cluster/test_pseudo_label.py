"""Labelling on a real cluster: bad files, killed processes, killed drivers, changed teachers."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray import cloudpickle
from tests.cluster.nodes import cluster_of, node_of
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import SAMPLE_RATE, Pcm, encode
from voxray.corpora.items import Item
from voxray.corpora.labelled import read_clips, read_table
from voxray.corpora.sources import list_corpus
from voxray.errors import LabellingError, OutputError
from voxray.labelling.pieces import LABEL_SCHEMA
from voxray.labelling.pipeline import Plan, label_items
from voxray.labelling.shards import Shards
from voxray.recipes.pseudo_label import PseudoLabelConfig, run
from voxray.text import ErrorCounts, word_errors
from voxray.whisper.engines import DecodingOptions, DecodingResult, Engine
from voxray.whisper.tokens import Tokens

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray")]
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # cloudpickle's own
# workers cannot import the tests

LOST_AMONG = 120  # clips, so many that labelling goes on for seconds after the first shard
KILLER, FAILING = 10_000, 20_000  # amplitudes that the scripted engine cannot stand


@dataclass
class ScriptedEngine:
    """Says how loud a clip is; dies on one amplitude, raises on another."""

    tokens: Tokens = field(default_factory=lambda: Tokens.load(SMALL_MODEL_INT8))

    def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None] = ()
    ) -> list[DecodingResult]:
        return [self._result(clip) for clip in clips]

    def _result(self, clip: Pcm) -> DecodingResult:
        loudness = int(clip.max())
        if loudness == KILLER:
            os._exit(9)
        if loudness == FAILING:
            raise ValueError("too loud")
        return DecodingResult(f"loud {loudness}", "en", (1,), (), (), -0.1, 0.0, 1.0)


@dataclass(frozen=True)
class Scripted:
    """Loads a `ScriptedEngine`, or dies in the attempt."""

    name: str = "scripted"

    def load(self) -> Engine:
        if self.name == "broken":
            raise LabellingError("the scripted engine is broken")
        return ScriptedEngine()

    def digest(self) -> str:
        return self.name


def write_corpus(folder: Path, amplitudes: Sequence[int]) -> Path:
    folder.mkdir()
    for k, amplitude in enumerate(amplitudes):
        tone = np.full(SAMPLE_RATE // 2, amplitude, dtype=np.int16)
        (folder / f"clip-{k:02d}.flac").write_bytes(encode(tone))
        (folder / f"clip-{k:02d}.txt").write_text(f"loud {amplitude}")
    return folder


def label(items: Sequence[Item], out: Path, *, shard_s: float = 2.0) -> Shards:
    with Shards(out, "scripted").open() as shards:
        plan = Plan(Scripted(), DecodingOptions(), batch_clips=4, shard_s=shard_s)
        label_items(items, plan, shards, lambda: None)
    return shards


def ids(out: Path) -> list[str]:
    return list(read_table(out)["id"].to_pylist())


def test_clips_that_kill_their_process_are_rejected_and_every_other_is_labelled_once(tmp_path: Path) -> None:
    amplitudes = [1, KILLER, 3, FAILING, *range(4, 9), KILLER, 10, KILLER, 12]
    items = list_corpus(str(write_corpus(tmp_path / "c", amplitudes))).items
    shards = label(items, tmp_path / "out")
    killed = {i.id for i, a in zip(items, amplitudes, strict=True) if a == KILLER}
    reasons = {r.id: r.reason for r in shards.rejected()}
    assert ids(tmp_path / "out") == [i.id for i in items if i.id not in reasons]
    assert set(reasons) == killed | {"clip-03"}
    assert {i for i, reason in reasons.items() if "killed" in reason} == killed
    assert "too loud" in reasons["clip-03"]


def test_an_engine_that_cannot_be_loaded_ends_the_job_saying_why(tmp_path: Path) -> None:
    items = list_corpus(str(write_corpus(tmp_path / "c", [1]))).items
    with (
        Shards(tmp_path / "out", "b").open() as shards,
        pytest.raises(LabellingError, match="the scripted engine is broken"),
    ):
        label_items(items, Plan(Scripted("broken"), DecodingOptions()), shards, lambda: None)


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    items = list_corpus(str(write_corpus(tmp_path / "c", [1, 2, 3, 4]))).items
    first = {f.name: f.stat().st_mtime_ns for f in label(items[:3], tmp_path / "out").files()}
    second = {f.name: f.stat().st_mtime_ns for f in label(items, tmp_path / "out").files()}
    assert first.items() <= second.items()
    assert ids(tmp_path / "out") == [i.id for i in items]


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten clips and four files that are no audio."""
    clips = sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:10]
    folder = tmp_path_factory.mktemp("spoken")
    for clip in clips:
        shutil.copy(clip, folder)
        shutil.copy(clip.with_suffix(".txt"), folder)
    (folder / "empty.wav").touch()
    (folder / "truncated.flac").write_bytes(encode(np.ones(16_000, np.int16))[:60])
    (folder / "playlist.mp3").write_text("#EXTM3U\nhttp://192.0.2.1/secret.mp3\n")
    (folder / "playlist.m3u8").write_text("#EXTM3U\n/etc/passwd\n")
    return folder


def config(corpus: Path, out: Path, **options: object) -> PseudoLabelConfig:
    return PseudoLabelConfig.model_validate(
        {"corpus": str(corpus), "teacher": str(SMALL_MODEL), "out": out, "threads": 1, **options}
    )


@pytest.fixture(scope="session")
def labels(spoken: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labels of `spoken`, finished."""
    out = tmp_path_factory.mktemp("labels")
    (out / "result.json").write_text(json.dumps(run(config(spoken, out))))
    return out


def test_bad_files_are_listed_and_the_rest_is_labelled(labels: Path) -> None:
    result = json.loads((labels / "result.json").read_text())
    listed = [json.loads(line) for line in (labels / "rejected.jsonl").read_text().splitlines()]
    assert (result["clips"], result["rejected"]) == (10, 4)
    assert {Path(r["source"]).name for r in listed} == {
        "empty.wav",
        "truncated.flac",
        "playlist.mp3",
        "playlist.m3u8",
    }
    assert all(r["source"] in r["reason"] and "expected" in r["reason"] for r in listed)


def test_labels_have_words_with_times_inside_the_clip_and_a_score(labels: Path) -> None:
    clips = list(read_clips(labels))
    assert len(clips) == 10
    assert all(c.words and " ".join(w.text for w in c.words) == c.text for c in clips)
    assert all(0 <= w.start_s <= w.end_s <= c.duration_s + 0.02 for c in clips for w in c.words)
    rows = read_table(labels).to_pylist()
    counts = sum((word_errors(r["text"], r["pseudo_text"]) for r in rows), ErrorCounts())
    assert json.loads((labels / "result.json").read_text())["wer"] == round(100 * counts.rate, 2)


def test_a_finished_run_stands_unless_overwritten(spoken: Path, labels: Path) -> None:
    before = [f.stat().st_mtime_ns for f in labels.rglob("*.parquet")]
    with pytest.raises(OutputError, match="overwrite=true"):
        run(config(spoken, labels, beams=2))
    assert [f.stat().st_mtime_ns for f in labels.rglob("*.parquet")] == before


def test_other_options_label_again_from_any_kind_of_corpus(spoken: Path, tmp_path: Path) -> None:
    clips = sorted(spoken.glob("*.ogg"))
    table = {
        "id": [clip.stem for clip in clips],
        "audio": [{"bytes": clip.read_bytes(), "path": None} for clip in clips],
        "text": [clip.with_suffix(".txt").read_text().strip() for clip in clips],
    }
    pq.write_table(pa.table(table), tmp_path / "train.parquet", row_group_size=4)
    stale = Shards(tmp_path / "out", "0123456789ab")
    with stale.open():
        stale.commit(LABEL_SCHEMA.empty_table(), ["espeak-1"], [])
    options = {"words": False, "timestamps": True}
    assert run(config(tmp_path / "train.parquet", tmp_path / "out", **options))["clips"] == 10
    assert not stale.files()
    assert not any(read_table(tmp_path / "out")["words"].to_pylist()[0])


def test_too_many_rejected_end_the_job_with_the_first_reason(spoken: Path, tmp_path: Path) -> None:
    with pytest.raises(LabellingError, match=r"at most 10% of 14 clips.*got 4;.*the first:"):
        run(config(spoken, tmp_path, max_rejected=0.1))
    assert (tmp_path / "rejected.jsonl").exists()


def test_killed_and_started_again_each_clip_is_there_once(
    spoken: Path, tmp_path: Path, repository: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, str(repository / "jobs/pseudo_label.py"), f"corpus={spoken}", f"out={out}"]
    command += [f"teacher={SMALL_MODEL}"]
    command += ["shard_s=1", "threads=1", "batch_clips=2"]
    job = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert job.stderr is not None
    wait_for(job.stderr, "labelled")  # the first shard is down
    job.send_signal(signal.SIGKILL)
    job.wait()
    job.stderr.close()
    kept = {f.name: f.read_bytes() for f in (out / "labelled").glob("*.parquet")}
    assert kept
    assert not (out / "result.json").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["clips"] == 10
    assert ids(out) == sorted(p.stem for p in spoken.glob("*.ogg"))
    assert all((out / "labelled" / name).read_bytes() == content for name, content in kept.items())


def test_a_node_lost_while_it_labels_loses_no_clip(repository: Path, tmp_path: Path) -> None:
    clips = sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:LOST_AMONG]
    (tmp_path / "corpus").mkdir()
    for clip in clips:
        shutil.copy(clip, tmp_path / "corpus")
        shutil.copy(clip.with_suffix(".txt"), tmp_path / "corpus")
    command = [sys.executable, str(repository / "jobs/pseudo_label.py"), f"corpus={tmp_path / 'corpus'}"]
    command += [
        f"out={tmp_path / 'out'}",
        f"teacher={SMALL_MODEL}",
        "shard_s=4",
        "threads=1",
        "batch_clips=2",
    ]
    with cluster_of(2) as (cluster, nodes):
        joins = {**os.environ, "RAY_ADDRESS": cluster.address}
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=joins
        ) as job:
            assert job.stderr is not None
            wait_for(job.stderr, "labelled")
            cluster.remove_node(node_of(nodes, "LabelStage"), allow_graceful=False)
            before = len(ids(tmp_path / "out"))
            rest = list(job.stderr)
    assert job.returncode == 0, "".join(rest)[-3000:]
    assert before < len(clips)
    assert sorted(ids(tmp_path / "out")) == [clip.stem for clip in clips]


def wait_for(stream: IO[str], word: str) -> None:
    """Read lines until one has `word`; the test fails where the stream ends before."""
    seen = []
    for line in stream:
        seen.append(line)
        if word in line:
            return
    pytest.fail(f"no {word!r} in {''.join(seen)[-2000:]}")
