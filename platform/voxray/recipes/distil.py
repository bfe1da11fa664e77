"""Distils a small student from a teacher and its labels: filter, choose layers, train, keep the best."""

import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator, Field, field_validator, model_validator

from voxray.cluster import cluster
from voxray.corpora.labelled import (
    check_finished,
    read_clips,
    read_table,
)
from voxray.corpora.splits import split_key, split_of
from voxray.corpora.store import Clip, ClipStore, write_store
from voxray.errors import ConfigError, ModelError, TrainingError
from voxray.labelling.filters import FilterOptions, count_reasons, keep_mask
from voxray.labelling.teacher import check_teacher
from voxray.recipes.distil_report import write_distil_report
from voxray.recipes.distil_stores import fitting, on_ray, write_train_store
from voxray.recipes.learning import (
    LearningConfig,
    MixtureWeights,
    check_weights,
    dev_corpus_clips,
    languages_after,
    prepared,
    run_options,
    several,
    train_stores,
)
from voxray.recipes.outcome import best_wer, last_step, samples_per_s
from voxray.training.evaluation import Evaluation, Evaluator
from voxray.training.objective import DistillationOptions, ObjectiveOptions
from voxray.training.run import RunOptions
from voxray.whisper.checkpoint import load_model, parameters, save_model
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.models import ctranslate2_folder, hf_folder
from voxray.whisper.student import make_student

CACHE = "cache"  # the folder in OUT for the teacher's states; removed when the run is finished
LONGER = "a text longer than the decoder"
UNREFERENCED = "no text of the corpus's own"
SURE_BYTES = 400  # of a text that fits into the decoder in any vocabulary: no token has less than one byte


class DistilConfig(LearningConfig, DistillationOptions):
    """Teacher, data and training of a student. The defaults follow Distil-Whisper."""

    labelled: Annotated[tuple[Path, ...], Field(min_length=1), BeforeValidator(several)]
    """Labels to learn from: the OUT of pseudo_label, or a list of several."""
    weights: MixtureWeights = ()
    """Share of each of several labels among the clips of an epoch; empty: each clip counts the same."""
    teacher: str = "tiny.en"
    """The model that labelled: a name such as tiny.en, a Hugging Face folder or a hub name."""
    student: str | None = None
    """Start from this model, not from layers of the teacher."""
    decoder_layers: int | tuple[int, ...] = 2
    """Decoder layers of the student: a count, maximally spaced in the teacher, or their indices."""
    encoder_layers: int | tuple[int, ...] | None = None
    """Encoder layers of the student, likewise; null keeps all."""
    filter: FilterOptions = FilterOptions()
    wer_threshold: float | None = 10.0
    """Clips whose label has this WER or a higher one, in per cent, are dropped; null drops none for it."""
    use_pseudo_labels: bool = True
    """Train on the teacher's texts; false: on the corpus's own, without the clips that have none."""
    adapt_encoder: bool = False
    """Train the encoder too, so that it learns short windows."""
    freeze_embeddings: bool = False
    """Keep the teacher's embeddings of tokens and positions: few hours of labels have few of the tokens."""
    pack: bool = False
    """Join clips of a speaker to windows of up to 30 s before training."""
    max_dev_clips: int = Field(default=200, ge=1)
    """Clips that the student is evaluated on, at most."""
    teacher_cache: int = Field(default=0, ge=0)
    """Epochs after which the batches come again, with the teacher's states of them kept on disk; 0: never."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        check_weights(self.weights, len(self.labelled), "labelled")
        if self.teacher_cache and (self.time_masks or self.frequency_masks):
            raise ValueError("expected no time_masks and frequency_masks with teacher_cache: it keeps them")
        return self

    def sets(self) -> list[Self]:
        """Return the configuration for each of `labelled` by itself, with its part of the dev clips."""
        most = max(1, self.max_dev_clips // len(self.labelled))
        each = {"weights": (), "max_dev_clips": most}
        return [self.model_copy(update={**each, "labelled": (place,)}) for place in self.labelled]

    @field_validator("filter")
    @classmethod
    def _one_threshold(cls, options: FilterOptions) -> FilterOptions:
        if options.wer_threshold is not None:
            raise ValueError("expected the threshold as wer_threshold, outside of filter")
        return options


def run(config: DistilConfig) -> dict[str, Any]:
    """Distil into `out/model` and return what the JSON line says, WER in per cent on the dev clips.

    A killed run in the same `out` is resumed (`prepared`). Raises TrainingError if the filter leaves nothing,
    ConfigError if a frozen encoder would be given windows that it never passed or another teacher labelled.
    """
    teacher = hf_folder(config.teacher)
    smallest_s = smallest_window_s(config, teacher)
    for place in config.labelled:
        check_finished(place)
    sets = config.sets()
    tables = [read_table(each.labelled[0]) for each in sets]
    kept = [kept_ids(table, each) for table, each in zip(tables, sets, strict=True)]
    _tell_too_long(tables, sets)
    for place in config.labelled if config.kl_weight else ():
        check_teacher(place, config.teacher)
    out = prepared(config)
    options = distil_options(config, teacher, smallest_s, student_languages(config, tables))
    assert options.dev is not None
    write_once(options.dev, dev_clips(sets, tables))
    sizes = write_student(config, teacher, options.start)
    with cluster():
        for place, its, ids in zip(options.train, sets, kept, strict=True):
            write_train_store(place, its, ids, on_ray)
        from voxray.training.trainer import train  # Ray Train: 3 s of imports

        train(options, config.workers)
    shutil.rmtree(out / CACHE, ignore_errors=True)
    taught = _teacher_evaluation(config, options, smallest_s)
    return {
        "steps": last_step(out),
        "kept": sum(map(len, kept)),
        "dropped": sum(table.num_rows for table in tables) - sum(map(len, kept)),
        "wer_teacher": taught.wer if taught else None,
        "wer_student": best_wer(out),
        "parameters_teacher": sizes[0],
        "parameters_student": sizes[1],
        "samples_per_s": samples_per_s(out),
        "model": str(out / "model"),
        "report": str(write_distil_report(config, options, sizes, taught, left_out(tables, sets, kept))),
    }


def smallest_window_s(config: DistilConfig, teacher: Path) -> float:
    """Return the smallest window of the run; ConfigError if a frozen encoder has not passed it."""
    student = hf_folder(config.student) if config.student else teacher  # whose encoder is trained or frozen
    passed_s = ModelInfo.load(student).min_window_s
    wanted_s = config.smallest_window_s or passed_s
    if wanted_s < passed_s and not config.adapt_encoder:
        raise ConfigError(
            f"smallest_window_s={wanted_s:g}: expected at least {passed_s:g}, the smallest window that "
            f"{config.student or config.teacher} passed; add adapt_encoder=true to train the encoder for it."
        )
    return wanted_s


def kept_ids(table: pa.Table, config: DistilConfig) -> list[str]:
    """Return the clips to train on, in the order of `table`; TrainingError if that leaves none.

    Those that the filter drops are left out, and those whose label is longer than the decoder: nothing of it
    would be a target.
    """
    options = config.filter.model_copy(update={"wer_threshold": config.wer_threshold})
    too_long, without = too_long_ids(table, config), unreferenced_ids(table, config)
    candidates, mask = set(train_ids(table, config)) - too_long - without, keep_mask(table, options)
    ids = table["id"].to_pylist()
    train = [i for i, keep in zip(ids, mask, strict=True) if keep and i in candidates]
    if not train:
        counts = count_reasons(table, options)
        counts |= {why: len(ids) for why, ids in ((LONGER, too_long), (UNREFERENCED, without)) if ids}
        reasons = ", ".join(f"{count} for {why}" for why, count in counts.items())
        raise TrainingError(
            f"{config.labelled[0]}: expected clips to train on, but the filter leaves none of "
            f"{table.num_rows} ({reasons or 'all are dev or test clips'}); raise wer_threshold or use a "
            "better teacher."
        )
    return train


def too_long_ids(table: pa.Table, config: DistilConfig) -> set[str]:
    """Return the clips whose label is longer than the student's decoder."""
    column = "pseudo_text" if config.use_pseudo_labels else "text"
    labels = zip(table["id"].to_pylist(), table[column].to_pylist(), strict=True)
    suspects = {i: text for i, text in labels if text and len(text.encode()) > SURE_BYTES}
    if not suspects:
        return set()
    fits = fitting(config)
    return {i for i, text in suspects.items() if not fits(text)}


def unreferenced_ids(table: pa.Table, config: DistilConfig) -> set[str]:
    """Return the clips without a text of the corpus's own, where the student learns those texts.

    A reference for another task, as of a corpus that was translated, counts as none.
    """
    if config.use_pseudo_labels:
        return set()
    without = pc.and_(pc.is_null(table["reference_length"]), pc.invert(table["no_speech"]))
    return set(table.filter(without)["id"].to_pylist())


def _tell_too_long(tables: Sequence[pa.Table], sets: Sequence[DistilConfig]) -> None:
    for table, its in zip(tables, sets, strict=True):
        if too_long := too_long_ids(table, its):
            print(f"{its.labelled[0]}: {len(too_long)} clips rejected for {LONGER}.", file=sys.stderr)


def train_ids(table: pa.Table, config: DistilConfig) -> list[str]:
    """Return the clips that are neither of another split nor held out, in the order of `table`."""
    held_out = {*held_out_ids(table, config), *ids_in(table, "dev"), *ids_in(table, "test")}
    return [i for i in table["id"].to_pylist() if i not in held_out]


def dev_ids(table: pa.Table, config: DistilConfig) -> list[str]:
    """Return the clips that the student is evaluated on: the dev split, else clips held out of train."""
    return (ids_in(table, "dev") or sorted(held_out_ids(table, config)))[: config.max_dev_clips]


def held_out_ids(table: pa.Table, config: DistilConfig) -> set[str]:
    """Return the train clips to hold out where there are no dev clips: at most about a tenth, by hash.

    All clips of a speaker are held out together; those of a recording, if that would leave one side empty.
    """
    if config.dev_corpus or ids_in(table, "dev"):
        return set()
    rows = [
        r for r in table.select(["id", "split", "speaker", "recording"]).to_pylist() if r["split"] == "train"
    ]
    for by_speaker in (True, False):
        groups = {
            r["id"]: split_key(
                (r["speaker"] or "") if by_speaker else "", r["recording"] or "", r["id"].partition("#")[0]
            )
            for r in rows
        }
        dev = set([group for group in groups.values() if split_of(group) == "dev"][: config.max_dev_clips])
        held_out = {uid for uid, group in groups.items() if group in dev}
        if 0 < len(held_out) < len(rows):
            return held_out
    return set()


def ids_in(table: pa.Table, split: str) -> list[str]:
    """Return the ids of a split, in the order of `table`."""
    ids, splits = table["id"].to_pylist(), table["split"].to_pylist()
    return [i for i, its in zip(ids, splits, strict=True) if its == split]


def student_languages(config: DistilConfig, tables: Iterable[pa.Table]) -> tuple[str, ...]:
    """Return the languages that the student of the labels in `tables` will know."""
    learned = (language for table in tables for language in table["language"].to_pylist() if language)
    return languages_after(hf_folder(config.student or config.teacher), learned)


def distil_options(
    config: DistilConfig, teacher: Path, smallest_s: float, languages: tuple[str, ...] = ()
) -> RunOptions:
    """Return the run of `config`, with windows of at least `smallest_s` seconds, for `languages`."""
    losses = config.model_dump(include=set(DistillationOptions.model_fields))
    options = run_options(
        config,
        ObjectiveOptions(
            **losses,
            freeze_encoder=not config.adapt_encoder,
            freeze_embeddings=config.freeze_embeddings,
        ),
        smallest_s,
        teacher.resolve() if config.kl_weight else None,
        teacher_short=smallest_s >= ModelInfo.load(teacher).min_window_s,
    )
    stores = train_stores(options.train[0], len(config.labelled))
    cache = {"cached_epochs": config.teacher_cache, "cache": options.out / CACHE}
    others = {"weights": config.weights, "languages": languages, **cache}
    return options.model_copy(update={"train": stores, **others})


def dev_clips(sets: Sequence[DistilConfig], tables: Sequence[pa.Table]) -> Iterable[Clip]:
    """Return the clips that the student is evaluated on, with their references as their texts."""
    if sets[0].dev_corpus:
        languages = (language for table in tables for language in table["language"].to_pylist())
        clips = dev_corpus_clips(sets[0], next(filter(None, languages), "en"))
        return islice(clips, sum(its.max_dev_clips for its in sets))
    return referenced_clips(sets, tables, [dev_ids(t, its) for t, its in zip(tables, sets, strict=True)])


def referenced_clips(
    sets: Sequence[DistilConfig], tables: Sequence[pa.Table], ids: Sequence[Collection[str]]
) -> Iterator[Clip]:
    """Yield the clips called `ids`, of each set its own, with their references as their texts.

    A reference that the label was not scored against is for another task, and none.
    """
    for its, table, chosen in zip(sets, tables, ids, strict=True):
        scored = table.filter(pc.is_valid(table["reference_length"])).select(["id", "text"])
        references = dict(zip(*(scored[name].to_pylist() for name in ("id", "text")), strict=True))
        yield from (referenced(c, references.get(c.id)) for c in read_clips(its.labelled[0], chosen))


def write_once(folder: Path, clips: Iterable[Clip]) -> None:
    """Write a store of `clips` to `folder`, unless there is one."""
    if not folder.exists():
        write_store(folder, clips)


def referenced(clip: Clip, reference: str | None) -> Clip:
    """Return `clip` with the reference as its text if there is one; the segments are those of the label."""
    return replace(clip, text=reference, segments=()) if reference is not None else clip


def write_student(config: DistilConfig, teacher: Path, start: Path) -> tuple[int, int]:
    """Write the untrained student to `start`; returns the parameters of teacher and student."""
    source, tokenizer = load_model(teacher), teacher
    if config.student:
        tokenizer = hf_folder(config.student)
        student = load_model(tokenizer)
        check_alike(config, student, source)
    else:
        student = make_student(source, config.decoder_layers, config.encoder_layers)
    if not start.exists():
        save_model(student, start, tokenizer, dtype=next(source.parameters()).dtype)
    return parameters(source), parameters(student)


def check_alike(config: DistilConfig, student: Any, teacher: Any) -> None:
    """Raise ModelError where `student` has other tokens or features than `teacher`, which KL needs."""
    own, its = ((m.config.vocab_size, m.config.num_mel_bins) for m in (student, teacher))
    if config.kl_weight and own != its:
        raise ModelError(
            f"student {config.student}: expected the vocabulary of the teacher {config.teacher}, {its[0]} "
            f"tokens, and its {its[1]} mel bands, got {own[0]} and {own[1]}; name another or add kl_weight=0."
        )


def left_out(
    tables: Sequence[pa.Table], sets: Sequence[DistilConfig], kept: Sequence[Collection[str]]
) -> list[str]:
    """Say of each set how many of its train clips were dropped, and why."""
    lines: list[str] = []
    for table, its, ids in zip(tables, sets, kept, strict=True):
        without = unreferenced_ids(table, its)
        candidates = [i for i in train_ids(table, its) if i not in without]
        rows = table.filter(pc.is_in(table["id"], pa.array(candidates, pa.string())))
        counts = count_reasons(rows, its.filter.model_copy(update={"wer_threshold": its.wer_threshold}))
        counts[LONGER] = len(candidates) - len(ids) - sum(counts.values())
        counts[UNREFERENCED] = len(without.intersection(train_ids(table, its)))
        lines += [
            f"{its.labelled[0]}: {n:,} clip{'s' if n > 1 else ''} for {why}" for why, n in counts.items() if n
        ]
    return lines


def _teacher_evaluation(config: DistilConfig, options: RunOptions, smallest_s: float) -> Evaluation | None:
    assert options.dev is not None
    clips = list(ClipStore([options.dev]))
    if not clips:
        return None
    return Evaluator(clips, smallest_s, config.normaliser).evaluate(ctranslate2_folder(config.teacher))
