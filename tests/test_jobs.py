"""Bad input to the jobs, as a user sees it: one sentence that says what was expected, what came and where."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.small_model import SMALL_MODEL

from voxray import job
from voxray.audio import SAMPLE_RATE, encode
from voxray.config import Config
from voxray.corpora.labelled import SCHEMA
from voxray.recipes import adapt, demo, distil, export, finetune, pseudo_label, publish, score, sweep


@dataclass(frozen=True)
class Job:
    """A job's own config and function, and the words that it needs on correct input."""

    config: type[Config]
    run: Callable[[Any], Mapping[str, Any]]
    words: tuple[str, ...]


JOBS = {
    "adapt": Job(adapt.AdaptConfig, adapt.run, ("corpus={corpus}", "model={small}", "out={out}")),
    "demo": Job(demo.DemoConfig, demo.run, ("out={out}",)),
    "distil": Job(distil.DistilConfig, distil.run, ("labelled={labels}", "teacher={small}", "out={out}")),
    "export": Job(
        export.ExportConfig, export.run, ("corpus={corpus}", "split=null", "model={small}", "out={out}")
    ),
    "finetune": Job(finetune.FinetuneConfig, finetune.run, ("corpus={splits}", "model={small}", "out={out}")),
    "pseudo_label": Job(
        pseudo_label.PseudoLabelConfig, pseudo_label.run, ("corpus={corpus}", "teacher={small}", "out={out}")
    ),
    "publish": Job(publish.PublishConfig, publish.run, ("model={small}", "to={out}")),
    "score": Job(
        score.ScoreConfig, score.run, ("corpus={corpus}", "split=null", "model={small}", "out={out}")
    ),
    "sweep": Job(
        sweep.SweepConfig,
        sweep.run,
        ("labelled={judged}", "wer_threshold=null", "teacher={small}", "out={out}"),
    ),
}


WITH_OUT = [name for name, its in JOBS.items() if "out" in its.config.model_fields]


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Good and bad places by name, as `{name}` stands in the words of a job."""
    write_clips(tmp_path / "corpus", ("one", "two"))
    write_clips(tmp_path / "splits", ("one", "two", "three"))
    for split, uid in (("train", "one"), ("dev", "two"), ("test", "three")):
        (tmp_path / "splits" / f"{split}_files.csv").write_text(f"uid,file_name\n{uid},{uid}.flac\n")
    write_labels(tmp_path / "labels")
    write_labels(tmp_path / "judged", {"c": "dev"})
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "result.json").write_text("{}")
    (tmp_path / "file").write_text("- not\n- a mapping\n")
    (tmp_path / "garbled.yaml").write_text("steps: [1, 2\n")
    shutil.copytree(SMALL_MODEL, tmp_path / "weightless", ignore=shutil.ignore_patterns("*.safetensors"))
    names = "corpus splits labels judged empty taken file garbled.yaml weightless out".split()
    return {name.partition(".")[0]: tmp_path / name for name in names} | {
        "here": tmp_path,
        "small": SMALL_MODEL,
    }


def write_clips(folder: Path, uids: tuple[str, ...]) -> None:
    folder.mkdir()
    for k, uid in enumerate(uids, start=1):
        tone = 3000 * np.sin(2 * np.pi * 200 * k * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
        (folder / f"{uid}.flac").write_bytes(encode(tone.astype(np.int16)))
        (folder / f"{uid}.txt").write_text(uid)


def write_labels(folder: Path, others: Mapping[str, str] = MappingProxyType({})) -> None:
    """Two train clips that the teacher got wrong, and `others` by their splits."""
    wrong = {"reference_length": 1, "substitutions": 1, "deletions": 0, "insertions": 0, "wer": 1.0}
    row = {**dict.fromkeys(SCHEMA.names), "audio": b"\0\0", "text": "one", "pseudo_text": "two", **wrong}
    row |= {"language": "en", "no_speech": False, "words": []}
    (folder / "labelled").mkdir(parents=True)
    splits = {"a": "train", "b": "train", **others}
    rows = [{**row, "id": uid, "split": split} for uid, split in splits.items()]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    pq.write_table(table, folder / "labelled" / "shard-0.parquet")


def ended(name: str, words: str, places: Mapping[str, Path], capsys: pytest.CaptureFixture[str]) -> str:
    """What job `name` says on bad input: `words` come after those that it needs."""
    its = JOBS[name]
    argv = [word.format(**places) for word in (*its.words, *words.split())]
    assert job.main("A job.", its.config, its.run, argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return sentence(captured.err)


def sentence(stderr: str) -> str:
    """The one line of `stderr`, without its `error: `; the test fails where it is anything else."""
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert "Traceback" not in stderr
    return stderr.removeprefix("error: ").rstrip("\n")


def leaves(config: type[Config], prefix: str = "") -> Iterator[str]:
    """The dotted names of all keys of `config` but those of groups."""
    for name, field in config.model_fields.items():
        if isinstance(field.default, Config):
            yield from leaves(type(field.default), f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("name", JOBS)
def test_help_has_a_line_and_a_default_for_every_key(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # an option and all that is said of it on two lines at most
    its = JOBS[name]
    with pytest.raises(SystemExit) as caught:
        job.main("A job.", its.config, its.run, ["--help"])
    entries = re.findall(
        r"^  --(\S+) \S+\s+(\S.*?)?\s*\((default: .*|required)\)$", capsys.readouterr().out, re.MULTILINE
    )
    explained = {key: explanation for key, explanation, _ in entries}

    assert caught.value.code == 0
    keys = set(leaves(its.config))
    assert keys <= explained.keys()
    assert [key for key in keys if not explained[key]] == []


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("distil", "accumulate", "gradient_accumulation_steps"),
        ("finetune", "clip_norm", "max_grad_norm"),
        ("finetune", "floor", "min_lr_ratio"),
        ("distil", "warmup_share", "warmup_ratio"),
        ("distil", "plan.full_share", "full_probability"),
        ("distil", "plan.bucket_share", "bucket_probability"),
        ("distil", "plan.cut_share", "cut_probability"),
        ("distil", "plan.join_share", "join_probability"),
        ("distil", "plan.no_speech_share", "no_speech_probability"),
        ("finetune", "plan.speed_share", "speed_probability"),
        ("distil", "labels.smallest_window_s", "smallest_window_s outside of labels"),
    ],
)
def test_an_old_key_names_the_new_one(
    name: str, old: str, new: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        ended(name, f"{old}=1", places, capsys) == f"command line: unknown key {old!r}; write {new} instead."
    )

    group, _, key = old.rpartition(".")
    (places["here"] / "old.yaml").write_text(f"{group}: {{{key}: 1}}\n" if group else f"{key}: 1\n")
    message = ended(name, "--config {here}/old.yaml", places, capsys)
    assert message.endswith(f"unknown key {old!r}; write {new} instead.")


CORPORA = ["adapt", "export", "finetune", "pseudo_label", "score"]


@pytest.mark.parametrize("name", CORPORA)
def test_an_empty_corpus(name: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    message = ended(name, "corpus={empty}", places, capsys)
    assert message == (f"{places['empty']}: expected audio files (wav, flac, mp3, ogg, ...), got none.")


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_that_is_not_there(
    name: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    message = ended(name, "corpus={here}/nowhere", places, capsys)
    assert message.startswith(f"{places['here']}/nowhere: expected ")


@pytest.mark.parametrize(("name", "split"), [(n, "tset") for n in ("export", "pseudo_label", "score")])
def test_an_unknown_split(
    name: str, split: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    message = ended(name, f"split={split}", places, capsys)
    assert message == f"{places['corpus']}: expected a split called train, dev, test, got 'tset'."


@pytest.mark.parametrize("name", ["export", "pseudo_label", "score"])
def test_a_split_that_the_corpus_lacks(
    name: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (places["splits"] / "dev_files.csv").unlink()
    message = ended(name, "corpus={splits} split=dev", places, capsys)
    assert message == f"{places['splits']}: expected clips in 'dev', got train 1, test 1."


def test_a_language_that_the_teacher_does_not_know(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    message = ended("pseudo_label", "language=de", places, capsys)
    assert message == (
        f"language 'de': expected 'en', the only language of {SMALL_MODEL}; name a model that knows it."
    )


def test_finetuning_without_a_dev_split(places: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    (places["splits"] / "dev_files.csv").unlink()
    message = ended("finetune", "", places, capsys)
    assert message == f"{places['splits']}: expected clips in 'dev', got train 1, test 1."


@pytest.mark.parametrize("labelled", ["corpus", "empty", "file", "here"])
def test_labels_that_are_none(
    labelled: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    message = ended("distil", f"labelled={{{labelled}}}", places, capsys)
    assert message == (
        f"{places[labelled]}: expected a labelled corpus (labelled/*.parquet), got none; run pseudo_label."
    )


def test_a_threshold_that_drops_everything(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    message = ended("distil", "wer_threshold=50", places, capsys)
    assert message == (
        f"{places['labels']}: expected clips to train on, but the filter leaves none of 2 "
        "(2 for error rate); raise wer_threshold or use a better teacher."
    )
    assert not places["out"].exists()


@pytest.mark.parametrize(
    ("name", "typo", "meant"),
    [
        ("demo", "max_step", "max_steps"),
        ("distil", "wer_treshold", "wer_threshold"),
        ("distil", "plan.batch", "batch_s"),
        ("sweep", "max_concurent", "max_concurrent"),
        ("export", "quantisation", "quantization"),
        ("finetune", "learning-rate", "learning_rate"),
        ("pseudo_label", "timestamp", "timestamps"),
        ("score", "beam", "beams"),
    ],
)
def test_an_unknown_key(
    name: str, typo: str, meant: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    message = ended(name, f"{typo}=1", places, capsys)
    assert message == f"command line: unknown key {typo!r}; did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("distil", "max_steps=0"),
        ("distil", "temperature=warm"),
        ("export", "quantization=int3"),
        ("finetune", "max_steps=0"),
        ("finetune", "train=head"),
        ("pseudo_label", "beams=-1"),
        ("score", "beams=0"),
    ],
)
def test_a_value_that_cannot_be(
    name: str, word: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    key, _, value = word.partition("=")
    message = ended(name, word, places, capsys)
    assert message.startswith(f"command line: '{key}': input should be ")
    assert message.endswith(f", got '{value}'.")


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("plan.speed_range=[1.2,0.8]", "expected the lower bound first, got ['1.2', '0.8']"),
        ("plan.speed_range=[0,1]", "input should be greater than 0, got '0'"),
        ("augment.noise_snr_db=[40,5]", "expected the lower bound first, got ['40', '5']"),
        ("plan.batch_s=inf", "input should be a finite number, got 'inf'"),
    ],
)
def test_bounds_that_cannot_be(
    word: str, problem: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    message = ended("finetune", word, places, capsys)
    assert message.startswith(f"command line: '{word.partition('=')[0]}")
    assert message.endswith(f"{problem}.")


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "{here}/nowhere.yaml",
            "expected a YAML file, got one that cannot be read (No such file or directory).",
        ),
        ("{garbled}", "expected YAML, got text that does not parse"),
        ("{file}", "expected a mapping of keys to values, got a list."),
        ("{here}", "expected a YAML file, got one that cannot be read (Is a directory)."),
    ],
)
def test_a_config_file_that_is_none(
    name: str, file: str, expected: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    message = ended(name, f"--config {file}", places, capsys)
    assert message.startswith(f"{file.format(**places)}: {expected}")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("distil", "teacher"),
        ("pseudo_label", "teacher"),
        ("sweep", "teacher"),
        *((n, "model") for n in ("adapt", "export", "finetune", "score")),
    ],
)
def test_a_model_without_weights(
    name: str, key: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    message = ended(name, f"{key}={{weightless}}", places, capsys)
    assert message == (
        f"{places['weightless']}: expected weights (model.safetensors), got none; save the model again."
    )


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("distil", "teacher"),
        ("pseudo_label", "teacher"),
        ("sweep", "teacher"),
        *((n, "model") for n in ("adapt", "export", "finetune", "score")),
    ],
)
def test_a_model_that_is_not_there(
    name: str, key: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    message = ended(name, f"{key}={{here}}/nowhere", places, capsys)
    assert f"'{places['here']}/nowhere': expected a folder, a hub name or one such as tiny.en" in message


def test_a_threshold_of_a_sweep_that_drops_everything(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    message = ended("sweep", "wer_threshold=[null,50]", places, capsys)
    assert message == (
        f"wer_threshold=50: {places['judged']}: expected clips to train on, but the filter leaves none of 3 "
        "(3 for error rate); raise wer_threshold or use a better teacher."
    )
    assert not places["out"].exists()


def test_layers_that_the_teacher_lacks(places: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    message = ended("distil", "wer_threshold=null decoder_layers=9", places, capsys)
    assert message == "layers: expected 1 to 2, the teacher's, got 9."


@pytest.mark.parametrize("name", WITH_OUT)
@pytest.mark.parametrize("out", ["{file}", "{file}/below", "/proc/voxray"])
def test_an_out_that_cannot_be_written(
    name: str, out: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = "wer_threshold=null " if name == "distil" else ""
    message = ended(name, f"{words}out={out}", places, capsys)
    assert message.startswith(f"{out.format(**places)}: expected a")


@pytest.mark.parametrize("name", WITH_OUT)
def test_an_out_that_is_taken_is_left_as_it_is(
    name: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"distil": "wer_threshold=null ", "demo": "overwrite=false "}.get(name, "")
    message = ended(name, f"{words}out={{taken}}", places, capsys)
    assert message == (
        f"{places['taken']}: expected an empty folder, got one with files; add overwrite=true or change out=."
    )
    assert [f.name for f in places["taken"].iterdir()] == ["result.json"]


@pytest.mark.parametrize("name", ["distil", "finetune"])
def test_an_unfinished_run_of_other_options(
    name: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    places["out"].mkdir()
    (places["out"] / "config.json").write_text('{"max_steps": 7}')
    message = ended(name, "wer_threshold=null" if name == "distil" else "", places, capsys)
    assert message.startswith(
        f"{places['out']}: expected the options of the unfinished run there, got another "
    )
    assert message.endswith("; change out=, or add overwrite=true to start afresh.")
    assert [f.name for f in places["out"].iterdir()] == ["config.json"]


def test_playlists_are_listed_and_the_rest_is_scored(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    secret = places["here"] / "secret.flac"
    shutil.copy(places["corpus"] / "one.flac", secret)
    playlists = {"file.m3u8": secret, "url.mp3": "http://192.0.2.1/secret.mp3", "segment.ogg": "two.flac"}
    for name, target in playlists.items():
        (places["corpus"] / name).write_text(f"#EXTM3U\n#EXTINF:1,\n{target}\n")
        (places["corpus"] / name).with_suffix(".txt").write_text("secret")
    its = JOBS["score"]
    assert job.main("doc", its.config, its.run, [word.format(**places) for word in its.words]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    scores = json.loads((places["out"] / "scores.json").read_text())
    reasons = {Path(r["source"]).name: r["reason"] for r in scores["rejected_clips"]}
    assert result["clips"] == 2
    assert {c["id"] for c in scores["per_clip"]} == {"one", "two"}
    assert playlists.keys() <= reasons.keys()
    assert all("expected" in reasons[name] and name in reasons[name] for name in playlists)


@pytest.mark.parametrize("name", JOBS)
def test_a_job_as_it_is_run_ends_bad_input_in_one_sentence(name: str, repository: Path) -> None:
    command = [sys.executable, str(repository / "jobs" / f"{name}.py"), "--config", "nowhere.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=repository)
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence(done.stderr).startswith("nowhere.yaml: expected a YAML file")


def test_every_job_is_tried_here(repository: Path) -> None:
    assert {file.stem for file in (repository / "jobs").glob("*.py")} == JOBS.keys()
