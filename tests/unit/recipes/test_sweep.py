import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL

from voxray.config import load, parse
from voxray.corpora.labelled import read_clips, read_table
from voxray.corpora.store import ClipStore, ClipSubset
from voxray.errors import ConfigError, CorpusError, TrainingError
from voxray.recipes import sweep
from voxray.recipes.distil import kept_ids
from voxray.recipes.sweep import SweepConfig
from voxray.recipes.sweep_data import SweepData
from voxray.recipes.sweep_space import Hyperparameters

WriteLabels = Callable[[Mapping[str, Mapping[str, Any]]], Path]
OF_TRIALS = {"learning_rate", "wer_threshold", "decoder_layers", "kl_weight"}


def config(labelled: Path, **options: Any) -> SweepConfig:
    return SweepConfig.model_validate({"labelled": labelled, "out": labelled.parent / "out", **options})


@pytest.fixture
def labels(write_labels: WriteLabels) -> Path:
    """A talk in pieces, of which every third label is wrong, more or less; dev and test clips of others."""
    pieces = {
        f"talk#{i:02d}": {
            **{"recording": "talk", "start_s": float(i), "end_s": i + 0.9},
            **{"reference_length": 10, "substitutions": (i % 3 == 0) * (i % 4)},
            **({"text": None, "reference_length": None} if i == 7 else {}),
        }
        for i in range(24)
    }
    return write_labels(pieces | {f"{s}-{i}": {"split": s} for s in ("dev", "test") for i in range(2)})


THRESHOLDS = st.none() | st.sampled_from([5.0, 10.0, 20.0, 40.0, 15.0, 30.0])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@given(threshold=THRESHOLDS, pseudo=st.booleans())
def test_a_selection_from_the_one_store_is_what_distil_reads_at_that_threshold(
    labels: Path, threshold: float | None, pseudo: bool
) -> None:
    """Previous texts included: that of a dropped clip is not used."""
    its = config(labels, use_pseudo_labels=pseudo, out=labels / f"out-{pseudo}")
    point = Hyperparameters(1e-4, threshold, 2, 1.0)
    data, table, of_trial = SweepData(its.out), read_table(labels), its.of_trial(point)
    data.write([table], [of_trial])
    subset = ClipSubset(ClipStore(data.train), np.load(data.selected(threshold)))
    expected = list(read_clips(labels, kept_ids(table, of_trial), references=not pseudo))

    assert [(c.id, c.text, c.previous) for c in subset] == [(c.id, c.text, c.previous) for c in expected]
    assert [subset.samples(i) for i in range(len(subset))] == [len(c.pcm) for c in expected]
    assert any(c.previous for c in expected)


def test_labels_are_copied_once_and_dev_clips_are_the_same_for_all_trials(labels: Path) -> None:
    its = config(labels, trials=10)
    data, table = SweepData(its.out), read_table(labels)
    configs = [its.of_trial(point) for point in its.space.sample(its.trials, 0)]
    data.write([table], configs)
    written = data.train[0].stat().st_mtime_ns
    data.write([table], configs)  # after a kill

    assert data.train[0].stat().st_mtime_ns == written
    assert len(list(its.out.rglob("audio.s16"))) == 3
    assert len(ClipStore(data.train)) == 24
    assert {p.name for p in (its.out / "selected").iterdir()} == {
        "wer-5.npy",
        "wer-10.npy",
        "wer-20.npy",
        "wer-40.npy",
        "wer-none.npy",
    }
    assert [c.id for c in ClipStore([data.dev])] == ["dev-0", "dev-1"]


def test_no_trial_sees_a_test_clip(labels: Path, tmp_path: Path) -> None:
    its = config(labels)
    data, table = SweepData(its.out), read_table(labels)
    configs = [its.of_trial(point) for point in its.space.sample(5, 0)]
    data.write([table], configs)
    runs = [sweep._trial_run(c, tmp_path, 30.0, data, i) for i, c in enumerate(configs)]
    seen = {place for run in runs for place in (*run.train, run.dev)}

    assert [c.id for c in ClipStore([data.test])] == ["test-0", "test-1"]
    assert data.test not in seen
    assert all(not c.id.startswith("test") for place in seen if place for c in ClipStore([place]))


def test_trials_without_a_teacher_share_no_states_with_those_that_have_one(labels: Path) -> None:
    its = config(labels, kl_weight=[0.0, 0.5, 1.0], teacher_cache=2)
    data, points = SweepData(its.out), [Hyperparameters(1e-4, 10.0, 2, kl) for kl in (0.0, 0.5, 1.0)]
    runs = [sweep._trial_run(its.of_trial(p), labels, 30.0, data, i) for i, p in enumerate(points)]

    assert runs[0].cache != runs[1].cache
    assert runs[1].cache == runs[2].cache


def test_threads_are_the_cpus_of_a_trial_where_these_are_more_than_its_share_of_this_machine() -> None:
    its = config(Path("labels"), cpus_per_worker=64, max_concurrent=64)
    assert its.of_trial(Hyperparameters(1e-4, 10.0, 2, 1.0)).threads == 64


@given(st.integers(0, 2**31))
def test_trials_differ_in_what_is_searched_and_in_nothing_else(seed: int) -> None:
    its = config(Path("labels"), max_steps=77, evaluate_every=11, plan={"batch_s": 33}, decoder_layers=[1, 2])
    trials = [its.of_trial(point).model_dump() for point in its.space.sample(6, seed)]

    assert {t["max_steps"] for t in trials} == {77}
    assert all({k for k in a if a[k] != b[k]} <= OF_TRIALS for a in trials for b in trials)
    assert len({t["learning_rate"] for t in trials}) == 6


def test_one_value_stands_for_a_list_of_one() -> None:
    words = ["labelled=l", "out=o", "wer_threshold=10", "decoder_layers=1", "kl_weight=0.5"]
    its = load(SweepConfig, words=words)
    assert (its.wer_threshold, its.decoder_layers, its.kl_weight) == ((10.0,), (1,), (0.5,))


def test_a_list_has_counts_of_layers_or_lists_of_them_and_no_threshold() -> None:
    words = ["labelled=l", "out=o", "wer_threshold=[10, null]", "decoder_layers=[1, [0, 3]]"]
    its = load(SweepConfig, words=[*words, "learning_rate=[1e-5, 1e-4]"])
    assert (its.wer_threshold, its.decoder_layers) == ((10.0, None), (1, (0, 3)))
    assert its.learning_rate == (1e-5, 1e-4)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"learning_rate": [1e-3, 1e-4]}, "the lower bound first"),
        ({"pack": True}, "pack=false"),
        ({"student": "tiny.en", "decoder_layers": [1, 2]}, "one decoder_layers, or no student"),
        ({"wer_threshold": []}, "'wer_threshold': tuple should have at least 1 item"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse(SweepConfig, {"labelled": "l", "out": "o", **options})


def test_a_threshold_that_rejects_everything_is_named_and_nothing_is_written(
    labels: Path,
) -> None:
    its = config(labels, wer_threshold=[None, 0], use_pseudo_labels=False, teacher=str(SMALL_MODEL))
    with pytest.raises(
        TrainingError,
        match=r"^wer_threshold=0: .*the filter leaves none of 28 \(27 for error rate, 1 for no text",
    ):
        sweep.run(its)
    assert not its.out.exists()


def test_labels_without_clips_to_judge_by_are_refused(write_labels: WriteLabels) -> None:
    its = config(write_labels({"a": {"recording": "r"}}), teacher=str(SMALL_MODEL))
    with pytest.raises(TrainingError, match="expected clips to judge the trials by"):
        sweep.run(its)
    assert not its.out.exists()


def test_labels_of_another_teacher_are_refused_where_the_teacher_is_needed(labels: Path) -> None:
    shard = labels / "labelled" / "shard-0.parquet"
    table = pq.read_table(shard)
    pq.write_table(table.replace_schema_metadata({b"voxray.teacher": b"0123456789abcdef"}), shard)
    its = config(labels, teacher=str(SMALL_MODEL))
    with pytest.raises(ConfigError, match=r"got those of another model \(0123456789ab\); name that one as"):
        sweep.run(its)
    assert not its.out.exists()


def test_a_selection_of_another_store_is_refused(labels: Path) -> None:
    its = config(labels)
    data = SweepData(its.out)
    data.write([read_table(labels)], [its.of_trial(its.space.sample(1, 0)[0])])
    with pytest.raises(CorpusError, match="expected a selection from 24 clips"):
        ClipSubset(ClipStore(data.train), np.ones((3, 2), np.bool_))


def test_a_selection_from_several_labelled_sets_counts_the_clips_of_each(
    labels: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(labels, tmp_path / "more"))
    its = parse(SweepConfig, {"labelled": [labels, other], "out": tmp_path / "out", "weights": [0.5, 0.5]})
    of_trial = its.of_trial(Hyperparameters(1e-4, 10.0, 2, 1.0))
    data, tables = SweepData(its.out, 2), [read_table(labels)] * 2
    data.write(tables, [of_trial])
    subset = ClipSubset(ClipStore(data.train), np.load(data.selected(10.0)))
    each = len(kept_ids(tables[0], of_trial.sets()[0]))
    run = sweep._trial_run(of_trial, tmp_path, 30.0, data, 0)

    assert ClipStore(data.train).sizes == (24, 24)
    assert subset.sizes == (each, each)
    assert len(subset) == 2 * each
    assert (run.train, run.weights) == (data.train, (0.5, 0.5))
