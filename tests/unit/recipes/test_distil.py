import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.torch import load_file
from tests.prose import PROSE
from tests.small_model import SMALL_MODEL
from tests.small_model.random_model import random_model

from voxray.audio import SAMPLE_RATE, encode
from voxray.config import parse
from voxray.corpora.labelled import check_finished, read_table
from voxray.corpora.splits import split_of
from voxray.corpora.store import ClipStore
from voxray.errors import ConfigError, CorpusError, ModelError, OutputError, TrainingError
from voxray.recipes import distil, learning
from voxray.recipes.distil import DistilConfig
from voxray.recipes.distil_stores import write_train_store
from voxray.training.run import RunOptions
from voxray.whisper.labels import label_room, text_tokens
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.tokens import Tokens

WriteLabels = Callable[[Mapping[str, Mapping[str, Any]]], Path]
SIZES = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
}


def config(labelled: Path, **options: Any) -> DistilConfig:
    return DistilConfig.model_validate({"labelled": labelled, "out": labelled.parent / "out", **options})


def kept(config: DistilConfig) -> list[str]:
    return distil.kept_ids(read_table(config.labelled[0]), config)


def dev(config: DistilConfig) -> list[str]:
    return distil.dev_ids(read_table(config.labelled[0]), config)


def write_stores(
    sets: Sequence[DistilConfig], tables: Sequence[Any], kept: Sequence[list[str]], options: RunOptions
) -> None:
    """Write what a run learns and is evaluated on, without a cluster."""
    for place, its, ids in zip(options.train, sets, kept, strict=True):
        write_train_store(place, its, ids)
    assert options.dev is not None
    distil.write_once(options.dev, distil.dev_clips(sets, tables))


def test_only_correct_labels_of_the_train_split_are_trained_on(write_labels: WriteLabels) -> None:
    wrong = {"substitutions": 3}
    labels = write_labels(
        {"a": {}, "b": wrong, "c": {"split": "dev"}, "d": {"split": "test"}, "e": {"reference_length": 0}}
    )
    assert kept(config(labels)) == ["a"]
    assert dev(config(labels)) == ["c"]


def test_the_threshold_can_be_switched_off(write_labels: WriteLabels) -> None:
    labels = write_labels({"a": {}, "b": {"substitutions": 3}})
    assert kept(config(labels, wer_threshold=None)) == ["a", "b"]
    assert kept(config(labels, wer_threshold=100.1)) == ["a", "b"]
    assert kept(config(labels, wer_threshold=100)) == ["a"]


LONG = {"pseudo_text": PROSE["my"] * 2}


def test_labels_longer_than_the_decoder_are_neither_trained_on_nor_counted(write_labels: WriteLabels) -> None:
    labels = write_labels({"a": {}, "b": LONG, "c": {"pseudo_text": PROSE["en"]}})
    assert kept(config(labels, teacher=str(SMALL_MODEL))) == ["a", "c"]


def test_a_corpus_of_nothing_but_such_labels_is_refused_with_the_reason(write_labels: WriteLabels) -> None:
    its = config(write_labels({"a": LONG}), teacher=str(SMALL_MODEL))
    with pytest.raises(TrainingError, match="1 for a text longer than the decoder"):
        kept(its)


def test_the_page_of_a_run_counts_the_train_clips_that_were_dropped_once_each(
    write_labels: WriteLabels,
) -> None:
    wrong: dict[str, Any] = {"substitutions": 3}
    train: dict[str, dict[str, Any]] = {"a": {}, "b": wrong, "c": wrong | LONG, "l": LONG}
    labels = write_labels(train | {"d": wrong | {"split": "dev"}, "t": {"split": "test"}})
    its = config(labels, teacher=str(SMALL_MODEL))
    table = read_table(labels)
    assert distil.left_out([table], [its], [kept(its)]) == [
        f"{labels}: 2 clips for error rate",
        f"{labels}: 1 clip for a text longer than the decoder",
    ]


def test_packs_hold_no_more_text_than_the_decoder(write_labels: WriteLabels) -> None:
    spoken = {"pseudo_text": PROSE["en"], "speaker": "anna"}
    labels = write_labels({f"clip-{i}": spoken for i in range(6)})
    its = config(labels, pack=True, teacher=str(SMALL_MODEL), max_dev_clips=1)
    options = distil.distil_options(its, SMALL_MODEL, 30.0)
    write_stores([its], [read_table(labels)], [kept(its)], options)
    tokens = Tokens.load(SMALL_MODEL)
    counts = [text_tokens(tokens, clip.text) for clip in ClipStore(options.train)]

    assert len(counts) > 1
    assert max(counts) <= label_room(tokens)


def test_the_threshold_has_one_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected the threshold as wer_threshold"):
        parse(DistilConfig, {"labelled": tmp_path, "out": tmp_path, "filter": {"wer_threshold": 5}})


def test_dev_clips_beyond_those_that_are_scored_are_not_trained_on(write_labels: WriteLabels) -> None:
    labels = write_labels({"a": {}, **{f"dev-{i}": {"split": "dev"} for i in range(5)}})
    assert dev(config(labels, max_dev_clips=2)) == ["dev-0", "dev-1"]
    assert kept(config(labels, max_dev_clips=2)) == ["a"]


def test_without_a_dev_split_a_tenth_of_the_train_split_is_held_out(write_labels: WriteLabels) -> None:
    names = [f"clip-{i:03d}" for i in range(200)]
    labels = write_labels({name: {} for name in names} | {"test-1": {"split": "test"}})
    held_out = dev(config(labels))
    assert held_out == [n for n in names if split_of(n) == "dev"]
    assert 5 < len(held_out) < 40
    assert kept(config(labels)) == [n for n in names if n not in held_out]


def test_held_out_clips_beyond_those_that_are_scored_are_trained_on(write_labels: WriteLabels) -> None:
    labels = write_labels({f"clip-{i:03d}": {} for i in range(200)})
    assert len(kept(config(labels, max_dev_clips=3))) == 197


def pieces(recordings: int, parts: int, **values: Any) -> dict[str, dict[str, Any]]:
    """Rows of recordings that were cut into `parts` each."""
    return {
        f"talk-{r:02d}#{k:04d}": {"recording": f"talk-{r:02d}", **values}
        for r in range(recordings)
        for k in range(parts)
    }


@pytest.mark.parametrize("limit", [200, 4], ids=["all", "few"])
def test_pieces_of_a_recording_are_on_one_side(write_labels: WriteLabels, limit: int) -> None:
    labels = write_labels(pieces(40, 5))
    its = config(labels, max_dev_clips=limit)
    evaluated, trained = ({i.partition("#")[0] for i in ids} for ids in (dev(its), kept(its)))
    assert evaluated
    assert trained
    assert evaluated.isdisjoint(trained)
    assert len(dev(its)) <= limit


def test_pieces_of_rows_without_a_recording_go_by_their_name(write_labels: WriteLabels) -> None:
    its = config(write_labels({uid: {} for uid in pieces(40, 5)}))
    assert {i.partition("#")[0] for i in dev(its)}.isdisjoint(i.partition("#")[0] for i in kept(its))


def test_clips_of_a_speaker_are_on_one_side(write_labels: WriteLabels) -> None:
    clips = {f"clip-{i:03d}": {"speaker": f"speaker-{i % 30}", "recording": f"r-{i}"} for i in range(90)}
    its = config(write_labels(clips))
    evaluated, trained = ({clips[i]["speaker"] for i in ids} for ids in (dev(its), kept(its)))
    assert evaluated
    assert evaluated.isdisjoint(trained)


def test_the_recordings_of_a_lone_speaker_are_split(write_labels: WriteLabels) -> None:
    its = config(write_labels(pieces(40, 2, speaker="anna")))
    assert dev(its)
    assert {i.partition("#")[0] for i in dev(its)}.isdisjoint(i.partition("#")[0] for i in kept(its))


def test_a_lone_recording_is_trained_on_without_dev_clips(write_labels: WriteLabels) -> None:
    name = next(n for n in map(str, range(100)) if split_of(n) == "dev")
    its = config(write_labels({f"{name}#{k:04d}": {"recording": name} for k in range(5)}))
    assert dev(its) == []
    assert len(kept(its)) == 5


def test_a_filter_that_leaves_nothing_names_the_reason(write_labels: WriteLabels) -> None:
    labels = write_labels(
        {"a": {"substitutions": 3}, "b": {"text": None, "reference_length": None, **SILENT}}
    )
    with pytest.raises(TrainingError, match=r"none of 2 \(1 for error rate, 1 for no words\)"):
        kept(config(labels))


def test_a_corpus_without_a_train_split_is_refused(write_labels: WriteLabels) -> None:
    labels = write_labels({"a": {"split": "dev"}, "b": {"split": "test"}})
    with pytest.raises(TrainingError, match="all are dev or test clips"):
        kept(config(labels))


UNSCORED = dict.fromkeys(("reference_length", "substitutions", "deletions", "insertions"))
SILENT = {"pseudo_text": "", "substitutions": None, "deletions": None, "insertions": None}


def test_dev_clips_are_scored_by_their_reference_and_train_clips_say_their_label(
    write_labels: WriteLabels,
) -> None:
    labels = write_labels(
        {
            "a": {},
            "b": {"split": "dev"},
            "c": {"split": "dev", "text": None, "reference_length": None},
            "d": {"split": "dev", "text": "une référence", "task": "translate", "reference_length": None},
        }
    )
    its = config(labels)
    options = distil.distil_options(its, SMALL_MODEL, 30.0)
    write_stores([its], [read_table(labels)], [kept(its)], options)
    assert options.dev is not None
    assert [c.text for c in ClipStore(options.train)] == ["label of a"]
    assert [c.text for c in ClipStore([options.dev])] == ["text of b", "label of c", "label of d"]


def test_a_student_may_learn_the_texts_of_the_corpus(write_labels: WriteLabels) -> None:
    place = {"recording": "r", "audio": bytes(2 * SAMPLE_RATE)}
    words = [{"text": "label", "start_s": 0.0, "end_s": 0.2}]
    labels = write_labels(
        {
            "a": {"words": words, **place, "start_s": 0.0, "end_s": 1.0},
            "b": {"text": "label of b", "words": words, **place, "start_s": 1.0, "end_s": 2.0},
            "untold": {"text": None, **UNSCORED},
            "translated": {"task": "translate", **UNSCORED},
            "silent": {"text": None, "pseudo_text": "", "no_speech": True, **UNSCORED},
            "wrong": {"substitutions": 3},
            "long": {"text": PROSE["my"] * 2},
        }
    )
    its = config(labels, use_pseudo_labels=False)
    assert kept(its) == ["a", "b", "silent"]
    write_train_store(its.out / "clips", its, kept(its))
    clips = list(ClipStore([its.out / "clips"]))
    assert [(c.text, c.previous, len(c.words)) for c in clips] == [
        *(("text of a", "", 0), ("label of b", "text of a", 1), ("", "", 0)),
    ]
    table = read_table(labels)
    assert distil.left_out([table], [its], [kept(its)]) == [
        f"{labels}: 1 clip for error rate",
        f"{labels}: 1 clip for a text longer than the decoder",
        f"{labels}: 2 clips for no text of the corpus's own",
    ]


def test_a_corpus_without_texts_of_its_own_has_none_to_learn(write_labels: WriteLabels) -> None:
    its = config(write_labels({"a": {"text": None, **UNSCORED}}), use_pseudo_labels=False)
    with pytest.raises(TrainingError, match=r"leaves none of 1 \(1 for no text of the corpus's own\)"):
        kept(its)


def test_dev_clips_may_be_of_a_corpus_of_their_own(write_labels: WriteLabels, tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    for uid in "xyz":
        (others / f"{uid}.flac").write_bytes(encode(np.full(SAMPLE_RATE, 500, dtype=np.int16)))
        (others / f"{uid}.txt").write_text(f"text of {uid}")
    names = [f"clip-{i:02d}" for i in range(20)]
    labels = write_labels({name: {} for name in names} | {"of-dev": {"split": "dev"}})
    its = config(labels, dev_corpus=str(others), max_dev_clips=2)
    assert kept(its) == names  # none is held out, and none of the dev split is learned
    assert [c.text for c in distil.dev_clips([its], [read_table(labels)])] == ["text of x", "text of y"]
    with pytest.raises(CorpusError, match="nowhere"):
        list(distil.dev_clips([config(labels, dev_corpus=str(tmp_path / "nowhere"))], [read_table(labels)]))
    (others / "dev_files.csv").write_text("uid,file_name,said\nx,x.flac,mapped\n")
    mapped = config(labels, dev_corpus=str(others), dev_split="dev", text_column="said")
    assert [c.text for c in distil.dev_clips([mapped], [read_table(labels)])] == ["mapped"]
    with pytest.raises(ValidationError, match="expected dev_corpus with dev_split=test, got none"):
        config(labels, dev_split="test")


def test_masks_are_not_kept_with_what_the_teacher_said(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="expected no time_masks and frequency_masks with"):
        config(tmp_path, teacher_cache=2, time_masks=1)
    options = distil.distil_options(config(tmp_path, teacher_cache=2), SMALL_MODEL, 30.0)
    assert (options.cached_epochs, options.cache) == (2, tmp_path.parent / "out" / "cache")


def test_a_corpus_without_dev_clips_has_an_empty_store_of_them(write_labels: WriteLabels) -> None:
    name = next(n for n in map(str, range(100)) if split_of(n) != "dev")
    its = config(write_labels({name: {}}))
    options = distil.distil_options(its, SMALL_MODEL, 30.0)
    write_stores([its], [read_table(its.labelled[0])], [kept(its)], options)
    assert options.dev is not None
    assert list(ClipStore([options.dev])) == []
    assert distil._teacher_evaluation(its, options, 30.0) is None


def test_a_frozen_encoder_is_given_no_window_that_its_teacher_did_not_pass(tmp_path: Path) -> None:
    (tmp_path / "voxray.json").write_text(json.dumps({"min_window_s": 4.0}))
    its = config(tmp_path, teacher=str(tmp_path), smallest_window_s=2)
    with pytest.raises(ConfigError, match=r"smallest_window_s=2: expected at least 4,.*adapt_encoder=true"):
        distil.smallest_window_s(its, tmp_path)
    assert distil.smallest_window_s(its.model_copy(update={"adapt_encoder": True}), tmp_path) == 2
    assert distil.smallest_window_s(its.model_copy(update={"smallest_window_s": 8.0}), tmp_path) == 8
    assert distil.smallest_window_s(its.model_copy(update={"smallest_window_s": None}), tmp_path) == 4


def test_a_teacher_that_names_no_window_has_passed_30_s(tmp_path: Path) -> None:
    assert distil.smallest_window_s(config(tmp_path), tmp_path) == 30
    with pytest.raises(ConfigError, match="expected at least 30"):
        distil.smallest_window_s(config(tmp_path, smallest_window_s=10), tmp_path)


def test_the_teacher_gets_short_windows_only_where_it_passed_them(tmp_path: Path) -> None:
    (tmp_path / "voxray.json").write_text(json.dumps({"min_window_s": 4.0}))
    its = config(tmp_path)
    assert distil.distil_options(its, tmp_path, 4.0).teacher_short
    assert not distil.distil_options(its, tmp_path, 2.0).teacher_short


def test_without_kd_no_teacher_is_in_memory(tmp_path: Path) -> None:
    assert distil.distil_options(config(tmp_path, kl_weight=0), SMALL_MODEL, 30.0).teacher is None


def test_the_student_starts_as_the_teachers_layers(tmp_path: Path) -> None:
    teacher, start = SMALL_MODEL, tmp_path / "start"
    before, after = distil.write_student(config(tmp_path, decoder_layers=[1]), teacher, start)
    source, student = load_file(teacher / "model.safetensors"), load_file(start / "model.safetensors")
    layer = "model.decoder.layers.{}.fc1.weight"
    assert before > after
    assert student[layer.format(0)].equal(source[layer.format(1)].to(student[layer.format(0)].dtype))
    assert layer.format(1) not in student


def test_layers_that_the_teacher_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected"):
        distil.write_student(config(tmp_path, decoder_layers=[7]), SMALL_MODEL, tmp_path / "start")


def test_clearing_a_finished_run_leaves_what_is_not_its_own(tmp_path: Path) -> None:
    for name in ("train", "model", "clips-train", "tensorboard"):
        (tmp_path / name).mkdir()
    for name in ("result.json", "progress.jsonl", "notes.txt"):
        (tmp_path / name).touch()
    learning.clear(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_an_unfinished_run_goes_on_with_the_same_options(tmp_path: Path) -> None:
    its = config(tmp_path / "labels")
    checkpoint = learning.prepared(its) / "train"
    checkpoint.mkdir()
    again = its.model_copy(update={"workers": 2, "evaluate_every": 7, "overwrite": True})
    assert learning.prepared(again.model_copy(update={"overwrite": True})) == its.out
    options = json.loads((its.out / "config.json").read_text())
    for key in ("use_pseudo_labels", "weights", "teacher_cache"):  # as an earlier release wrote them
        del options[key]
    del options["plan"]["join_s"]
    (its.out / "config.json").write_text(json.dumps(options))
    assert learning.prepared(its) == its.out
    assert checkpoint.exists()


def test_an_unfinished_run_with_other_options_is_not_gone_on_with(tmp_path: Path) -> None:
    its = config(tmp_path / "labels")
    checkpoint = learning.prepared(its) / "train"
    checkpoint.mkdir()
    other = its.model_copy(update={"wer_threshold": 20.0})
    with pytest.raises(OutputError, match="got another wer_threshold; change out=, or add overwrite=true"):
        learning.prepared(other)
    assert checkpoint.exists()
    learning.prepared(other.model_copy(update={"overwrite": True}))
    assert not checkpoint.exists()
    learning.prepared(other)  # now these are its options


@pytest.mark.parametrize("text", ['{"model_type": "whisper"}', "[1]", "no JSON"])
def test_a_folder_with_another_config_is_left_as_it_is(text: str, tmp_path: Path) -> None:
    its = config(tmp_path / "labels", overwrite=True)
    (its.out / "model").mkdir(parents=True)
    (its.out / "config.json").write_text(text)
    with pytest.raises(OutputError, match=r"got one with another config\.json; change out="):
        learning.prepared(its)
    assert (its.out / "model").is_dir()
    assert (its.out / "config.json").read_text() == text


def test_labels_of_a_run_that_was_killed_are_not_taken_for_all_of_them(write_labels: WriteLabels) -> None:
    labels = write_labels({"a": {}})
    (labels / ".lock").touch()
    with pytest.raises(
        CorpusError, match="expected finished labels, got those of a pseudo_label that has not"
    ):
        distil.run(config(labels))
    (labels / "rejected.jsonl").touch()
    check_finished(labels)
    check_finished(labels / "labelled")


def test_a_student_of_another_kind_than_the_teacher_is_refused(tmp_path: Path) -> None:
    teacher, student = (random_model(num_mel_bins=bands, **SIZES) for bands in (80, 128))
    its = config(tmp_path / "labels", student="other")
    with pytest.raises(ModelError, match=r"^student other: expected .* its 80 mel bands, got \d+ and 128"):
        distil.check_alike(its, student, teacher)
    distil.check_alike(its, teacher, teacher)
    distil.check_alike(config(tmp_path / "labels", student="other", kl_weight=0), student, teacher)


def test_a_student_of_another_model_keeps_its_own_tokenizer_and_its_encoders_smallest_window(
    tmp_path: Path,
) -> None:
    student = tmp_path / "other"
    shutil.copytree(SMALL_MODEL, student)
    its_tokens = student / "tokenizer.json"
    its_tokens.write_text(json.dumps(json.loads(its_tokens.read_text())))  # the same, in other bytes
    ModelInfo.load(SMALL_MODEL).model_copy(update={"min_window_s": 8.0}).save(student)
    its = config(tmp_path / "labels", student=str(student), kl_weight=0)
    distil.write_student(its, SMALL_MODEL, tmp_path / "start")

    assert (tmp_path / "start/tokenizer.json").read_bytes() == its_tokens.read_bytes()
    assert its_tokens.read_bytes() != (SMALL_MODEL / "tokenizer.json").read_bytes()
    assert distil.smallest_window_s(its, SMALL_MODEL) == 8.0
    with pytest.raises(ConfigError, match=r"the smallest window that .*other passed"):
        distil.smallest_window_s(its.model_copy(update={"smallest_window_s": 2.0}), SMALL_MODEL)


@pytest.fixture
def two_sets(write_labels: WriteLabels, tmp_path: Path) -> list[Path]:
    """Labels of two corpora whose clips have the same ids."""
    clips: dict[str, dict[str, Any]] = {
        "a": {},
        "b": {"substitutions": 3},
        "dev-1": {"split": "dev"},
        "dev-2": {"split": "dev"},
    }
    first = write_labels(clips)
    return [first, Path(shutil.copytree(first, tmp_path / "more"))]


def test_each_of_several_labelled_sets_has_a_store_and_its_part_of_the_dev_clips(
    two_sets: list[Path],
) -> None:
    its = parse(DistilConfig, {"labelled": two_sets, "out": two_sets[0].parent / "out", "max_dev_clips": 3})
    options, tables = distil.distil_options(its, SMALL_MODEL, 30.0), [read_table(p) for p in two_sets]
    write_stores(its.sets(), tables, [["a"], ["a", "b"]], options)
    assert options.dev is not None
    assert ClipStore(options.train).sizes == (1, 2)
    assert [c.id for c in ClipStore([options.dev])] == ["dev-1", "dev-1"]


def test_weights_go_to_the_run(two_sets: list[Path]) -> None:
    its = parse(DistilConfig, {"labelled": two_sets, "out": "out", "weights": [0.25, 0.75]})
    assert distil.distil_options(its, SMALL_MODEL, 30.0).weights == (0.25, 0.75)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([0.5], "expected 2 weights, one for each of labelled"),
        ([0.5, 0.6], "expected weights that sum to 1, got 1.1"),
        ([1.5, -0.5], "'weights.1': input should be greater than 0"),
    ],
)
def test_weights_that_do_not_sum_or_fit(weights: list[float], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse(DistilConfig, {"labelled": ["a", "b"], "out": "out", "weights": weights})
