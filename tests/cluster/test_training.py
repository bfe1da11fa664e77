"""Training on a real cluster: from labels or texts to a model, with killed workers and finished runs."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.cluster.nodes import NODE, cluster_of, node_of, processes
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS

from voxray.audio import SAMPLE_RATE, decode
from voxray.corpora.labelled import SCHEMA
from voxray.errors import OutputError
from voxray.recipes import distil, finetune
from voxray.recipes.distil import DistilConfig
from voxray.recipes.finetune import FinetuneConfig
from voxray.recipes.outcome import lines
from voxray.whisper.checkpoint import load_model, parameters

pytestmark = [
    pytest.mark.ray,
    pytest.mark.usefixtures("ray"),
    pytest.mark.filterwarnings(r"ignore:`use_\w+` is deprecated"),  # of Ray's options, by Ray's own trainer
]

WORKER = "RayTrainWorker"
SPLITS = [*["train"] * 8, *["dev"] * 2, *["test"] * 2]
SMALL: dict[str, Any] = {"plan": {"batch_s": 8.0, "full_probability": 0.0}, "threads": 1}


@pytest.fixture(scope="session")
def recordings() -> list[Path]:
    """One clip for each of `SPLITS`."""
    return sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[: len(SPLITS)]


@pytest.fixture(scope="session")
def labelled(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recordings as a teacher without errors would have labelled them; one label is wrong."""
    folder = tmp_path_factory.mktemp("labels") / "labelled"
    folder.mkdir()
    rows = [labelled_row(clip, split) for clip, split in zip(recordings, SPLITS, strict=True)]
    rows[0] |= {"pseudo_text": "nonsense", "substitutions": 4, "reference_length": 4}
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "shard-0.parquet")
    return folder.parent


def labelled_row(clip: Path, split: str) -> dict[str, Any]:
    pcm, text = decode(clip), clip.with_suffix(".txt").read_text().strip()
    return {
        **dict.fromkeys(SCHEMA.names),
        "id": clip.stem,
        "audio": pcm.astype("<i2").tobytes(),
        "duration_s": len(pcm) / SAMPLE_RATE,
        "text": text,
        "pseudo_text": text,
        "language": "en",
        "split": split,
        "no_speech": False,
        "words": [],
        **{"reference_length": len(text.split()), "substitutions": 0, "deletions": 0, "insertions": 0},
        **{"avg_logprob": -0.1, "compression_ratio": 1.0, "chars_per_s": 12.0},
    }


def student_config(labelled: Path, out: Path, **options: Any) -> DistilConfig:
    small = {"decoder_layers": 1, "max_steps": 4, "evaluate_every": 2, "learning_rate": 1e-3, **SMALL}
    return DistilConfig.model_validate(
        {"labelled": labelled, "teacher": str(SMALL_MODEL), "out": out, **small, **options}
    )


@pytest.fixture(scope="session")
def distilled(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A finished run of four steps, and its result."""
    out = tmp_path_factory.mktemp("distilled")
    result = distil.run(student_config(labelled, out))
    (out / "result.json").write_text(json.dumps(result))
    return result, out


def test_distilling_gives_what_it_did(distilled: tuple[dict[str, Any], Path]) -> None:
    result, out = distilled
    assert set(result) >= {"steps", "kept", "dropped", "wer_teacher", "wer_student", "samples_per_s"}
    assert (result["steps"], result["kept"], result["dropped"]) == (4, 7, 5)
    assert 0 < result["parameters_student"] < result["parameters_teacher"]
    assert result["wer_teacher"] >= 0
    assert result["wer_student"] >= 0
    assert result["samples_per_s"] > 0
    assert [line["step"] for line in lines(out) if "wer" in line] == [0, 2, 4]


def test_its_page_has_the_student_beside_the_teacher_and_the_reasons_for_what_was_dropped(
    labelled: Path, distilled: tuple[dict[str, Any], Path]
) -> None:
    result, out = distilled
    assert result["report"] == str(out / "report.html")
    page = (out / "report.html").read_text()
    assert f"Distilling {SMALL_MODEL} on {labelled}" in page
    assert f"The teacher has {result['wer_teacher']:.2f} %." in page
    assert f"<li>{labelled}: 1 clip for error rate</li>" in page
    assert all(f"</span>{name}</th>" in page for name in ("teacher", "student before training", "student"))
    assert page.count("<svg") == 3
    assert page.count("<audio") == page.count('<article class="clip">') > 0


def test_the_student_is_a_model_with_fewer_decoder_layers(distilled: tuple[dict[str, Any], Path]) -> None:
    result, out = distilled
    teacher, student = load_model(SMALL_MODEL), load_model(Path(result["model"]))
    assert (teacher.config.decoder_layers, student.config.decoder_layers) == (2, 1)
    assert student.config.encoder_layers == teacher.config.encoder_layers
    assert parameters(student) == result["parameters_student"]
    assert (out / "model" / "tokenizer.json").is_file()


def test_a_frozen_encoder_is_the_teachers(distilled: tuple[dict[str, Any], Path]) -> None:
    before, after = load_model(SMALL_MODEL), trained_weights(distilled[1])
    encoder = {k: v for k, v in before.state_dict().items() if k.startswith("model.encoder")}
    assert all(torch.equal(after[k], v) for k, v in encoder.items())


def test_a_run_can_be_watched_in_tensorboard(distilled: tuple[dict[str, Any], Path]) -> None:
    assert list((distilled[1] / "tensorboard").glob("events.out.tfevents.*"))


def test_a_finished_run_stands_unless_overwritten(
    labelled: Path, distilled: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    out = shutil.copytree(distilled[1], tmp_path / "out")
    with pytest.raises(OutputError, match="overwrite=true"):
        distil.run(student_config(labelled, out))
    assert (out / "result.json").exists()


def test_overwriting_starts_afresh_and_two_workers_share_the_steps(
    labelled: Path, distilled: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    out = shutil.copytree(distilled[1], tmp_path / "out")
    result = distil.run(
        student_config(labelled, out, workers=2, max_steps=3, evaluate_every=3, overwrite=True)
    )
    assert result["steps"] == 3
    assert [line["step"] for line in lines(out) if "wer" in line] == [0, 3]
    assert load_model(out / "model").config.decoder_layers == 1
    same = distilled[0]
    assert result["wer_teacher"] == same["wer_teacher"]
    assert first_wer(out) == first_wer(distilled[1])


def first_wer(out: Path) -> float:
    return next(float(line["wer"]) for line in lines(out) if "wer" in line)


def test_a_killed_worker_and_a_lost_node_are_replaced_and_every_step_is_made(
    labelled: Path, repository: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, str(repository / "jobs/distil.py"), f"labelled={labelled}", f"out={out}"]
    command += [f"teacher={SMALL_MODEL}", "teacher_cache=2"]
    command += ["decoder_layers=1", "max_steps=45", "evaluate_every=5", "threads=1", "max_dev_clips=1"]
    command += ["plan.batch_s=8", "plan.full_probability=0"]
    with cluster_of(1) as (cluster, [first]):
        joins = {**os.environ, "RAY_ADDRESS": cluster.address}
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=joins
        ) as job:
            assert job.stderr is not None
            seen = read_until(job.stderr, "step     15")  # so the checkpoint of step 5 is committed
            for worker in processes(node_of([first], WORKER), WORKER):
                worker.send_signal(signal.SIGKILL)
            seen += read_until(job.stderr, "step     25")
            cluster.add_node(**NODE)
            cluster.remove_node(node_of([first], WORKER), allow_graceful=False)
            rest = list(job.stderr)
    assert job.returncode == 0, "".join([*seen, *rest])[-3000:]
    judged = [int(line["step"]) for line in lines(out) if "wer" in line]
    assert len(list((out / "tensorboard").glob("events.out.tfevents.*"))) == 3  # one for each worker
    assert sorted(set(judged)) == list(range(0, 46, 5))
    assert judged.count(0) == 1  # the others went on from a checkpoint
    assert json.loads((out / "result.json").read_text())["steps"] == 45
    assert "<dt>steps</dt><dd>45 of 45</dd>" in (out / "report.html").read_text()
    assert not (out / "cache").exists()


def read_until(stream: Iterator[str], word: str) -> list[str]:
    """Lines up to the one that has `word`; the test fails where the stream ends before."""
    seen = []
    for line in stream:
        seen.append(line)
        if word in line:
            return seen
    return pytest.fail(f"no {word!r} in {''.join(seen)[-3000:]}")


@pytest.fixture(scope="session")
def corpus(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recordings as an audio folder with its splits in csv files."""
    folder = tmp_path_factory.mktemp("corpus")
    rows: dict[str, list[str]] = {}
    for clip, split in zip(recordings, SPLITS, strict=True):
        shutil.copy(clip, folder)
        shutil.copy(clip.with_suffix(".txt"), folder)
        rows.setdefault(split, []).append(f"{clip.stem},{clip.name}")
    for split, its in rows.items():
        (folder / f"{split}_files.csv").write_text("\n".join(["uid,file_name", *its]) + "\n")
    return folder


def test_finetuning_the_encoder_leaves_the_decoder_as_it_was(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"corpus": str(corpus), "model": str(SMALL_MODEL), "train": "encoder", "max_steps": 4, **SMALL}
    result = finetune.run(
        FinetuneConfig.model_validate(
            {**config, "evaluate_every": 2, "out": tmp_path / "out", "learning_rate": 1e-3, "threads": 0}
        )
    )
    assert {line["threads"] for line in lines(tmp_path / "out") if "loss" in line} == {os.cpu_count()}
    assert (result["steps"], result["clips"], result["rejected"]) == (4, 8, 0)
    assert result["wer_dev"] <= result["wer_dev_before"]
    assert all(result[key] is not None for key in ("wer_test_before", "wer_test", "samples_per_s"))
    assert re.search(r"^step      2 of 4  dev WER .* %  \d+ s left$", capsys.readouterr().err, re.MULTILINE)
    page = Path(result["report"]).read_text()
    assert f"Fine-tuning: the encoder of {SMALL_MODEL} on {corpus}" in page
    assert f"<dt>dev WER</dt><dd>{result['wer_dev']:.2f} %</dd>" in page
    assert f"<td>{result['wer_test']:.2f}</td></tr>" in page
    before, trained = load_model(SMALL_MODEL).state_dict(), trained_weights(tmp_path / "out")
    changed = {k for k, v in before.items() if not torch.equal(trained[k], v)}
    assert changed
    assert all(k.startswith("model.encoder") for k in changed)
    kept = load_model(tmp_path / "out" / "model")
    assert parameters(kept) == result["parameters"]
    assert all(
        torch.equal(v, before[k]) for k, v in kept.state_dict().items() if k.startswith("model.decoder")
    )


def trained_weights(out: Path) -> dict[str, torch.Tensor]:
    """The weights after the last step, from its checkpoint: `out/model` holds the best, maybe the first."""
    states = (
        torch.load(f, map_location="cpu", weights_only=True)["loop"] for f in out.glob("train/run/*/state.pt")
    )
    last = max(states, key=lambda state: int(state["step"]))
    assert last["step"] == max(line["step"] for line in lines(out))
    return {k.removeprefix("student."): v for k, v in last["objective"].items()}
