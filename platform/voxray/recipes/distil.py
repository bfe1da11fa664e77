"""A small student from a teacher and its labels: filter, choose layers, train with KD, judge, keep."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field, field_validator

from voxray.cluster import cluster
from voxray.corpora.labelled import read_clips, read_table
from voxray.corpora.splits import split_of
from voxray.corpora.store import Clip, ClipStore, write_store
from voxray.errors import ConfigError, TrainingError
from voxray.labelling.filters import FilterOptions, count_reasons, keep_mask
from voxray.labelling.packing import PackingOptions, Utterance, pack
from voxray.recipes.learning import LearningConfig, prepared, run_options
from voxray.recipes.outcome import best_wer, last_step, samples_per_s
from voxray.training.evaluation import Judge
from voxray.training.objective import ObjectiveOptions
from voxray.training.run import RunOptions
from voxray.whisper.checkpoint import load_model, parameters, save_model
from voxray.whisper.ctranslate import min_window_s
from voxray.whisper.models import ctranslate2_folder, hf_folder
from voxray.whisper.student import make_student


class DistilConfig(LearningConfig):
    """What to distil from what, and how. Defaults follow Distil-Whisper where it says something."""

    labelled: Path  # the `out` of pseudo_label
    teacher: str = "tiny.en"
    student: str | None = None  # start from this model instead of the teacher's layers
    decoder_layers: int | tuple[int, ...] = 2  # a count, maximally spaced, or indices
    encoder_layers: int | tuple[int, ...] | None = None  # null keeps all
    filter: FilterOptions = FilterOptions()
    wer_threshold: float | None = 10.0  # per cent; null keeps every clip with a reference
    kl_weight: float = Field(default=1.0, ge=0)  # 0: no teacher in memory
    ce_weight: float = Field(default=0.8, ge=0)
    temperature: float = Field(default=2.0, gt=0)
    adapt_encoder: bool = False  # train it too, so that it learns short windows
    pack: bool = False  # join clips of one speaker to 30 s before training
    max_dev_clips: int = Field(default=200, ge=1)

    @field_validator("filter")
    @classmethod
    def _one_threshold(cls, options: FilterOptions) -> FilterOptions:
        if options.wer_threshold is not None:
            raise ValueError("expected the threshold as wer_threshold, outside of filter")
        return options


def run(config: DistilConfig) -> dict[str, Any]:
    """Distil; the student stands in `out/model`. What the JSON line says, WER in per cent on the dev clips.

    The same `out` goes on where a killed run stopped (`prepared`). Raises TrainingError where the filter
    leaves nothing, ConfigError where a frozen encoder would be given windows that it never passed.
    """
    teacher = hf_folder(config.teacher)
    smallest_s = smallest_window_s(config, teacher)
    table = read_table(config.labelled)
    kept = _kept_ids(table, config)
    out = prepared(config)
    options = _run_options(config, teacher, smallest_s)
    _write_stores(config, table, kept, options)
    sizes = _write_student(config, teacher, options.start)
    with cluster():
        from voxray.training.trainer import train  # Ray Train: 3 s of imports

        train(options, config.workers)
    return {
        "steps": last_step(out),
        "kept": len(kept),
        "dropped": table.num_rows - len(kept),
        "wer_teacher": _teacher_wer(config, options, smallest_s),
        "wer_student": best_wer(out),
        "parameters_teacher": sizes[0],
        "parameters_student": sizes[1],
        "samples_per_s": samples_per_s(out),
        "model": str(out / "model"),
    }


def smallest_window_s(config: DistilConfig, teacher: Path) -> float:
    """The smallest window of the run; a frozen encoder is given none that its teacher did not pass."""
    passed_s = min_window_s(teacher)
    wanted_s = config.smallest_window_s or passed_s
    if wanted_s < passed_s and not config.adapt_encoder:
        raise ConfigError(
            f"smallest_window_s={wanted_s:g}: expected at least {passed_s:g}, the smallest window that the "
            f"teacher {config.teacher} passed; add adapt_encoder=true to train the encoder for it."
        )
    return wanted_s


def _kept_ids(table: pa.Table, config: DistilConfig) -> list[str]:
    options = config.filter.model_copy(update={"wer_threshold": config.wer_threshold})
    mask = keep_mask(table, options)
    held_out = {*_dev_ids(table, config), *_ids_in(table, "dev"), *_ids_in(table, "test")}
    ids = table["id"].to_pylist()
    train = [i for i, keep in zip(ids, mask, strict=True) if keep and i not in held_out]
    if not train:
        reasons = ", ".join(f"{count} for {why}" for why, count in count_reasons(table, options).items())
        raise TrainingError(
            f"{config.labelled}: expected clips to train on, and the filter leaves none of {table.num_rows} "
            f"({reasons or 'all are dev or test clips'}); raise wer_threshold or use a better teacher."
        )
    return train


def _dev_ids(table: pa.Table, config: DistilConfig) -> list[str]:
    """The clips that judge: the corpus's dev split, else a tenth of the train split by hash."""
    hashed = (i for i in _ids_in(table, "train") if split_of(i) == "dev")
    return (_ids_in(table, "dev") or list(hashed))[: config.max_dev_clips]


def _ids_in(table: pa.Table, split: str) -> list[str]:
    ids, splits = table["id"].to_pylist(), table["split"].to_pylist()
    return [i for i, its in zip(ids, splits, strict=True) if its == split]


def _run_options(config: DistilConfig, teacher: Path, smallest_s: float) -> RunOptions:
    objective = ObjectiveOptions(
        ce_weight=config.ce_weight,
        kl_weight=config.kl_weight,
        temperature=config.temperature,
        freeze_encoder=not config.adapt_encoder,
    )
    taught = {
        "teacher": teacher.resolve() if config.kl_weight else None,
        "teacher_short": smallest_s >= min_window_s(teacher),
    }
    return run_options(config, objective, smallest_s).model_copy(update=taught)


def _write_stores(config: DistilConfig, table: pa.Table, kept: list[str], options: RunOptions) -> None:
    dev = _dev_ids(table, config)
    references = dict(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))
    assert options.dev is not None
    clips: Iterable[Clip] = read_clips(config.labelled, kept)
    _write_once(options.train[0], _packed(clips) if config.pack else clips)
    _write_once(options.dev, (referenced(c, references[c.id]) for c in read_clips(config.labelled, dev)))


def _write_once(folder: Path, clips: Iterable[Clip]) -> None:
    if not folder.exists():
        write_store(folder, clips)


def _packed(clips: Iterable[Clip]) -> Iterator[Clip]:
    return (u.clip for u in pack((Utterance(c) for c in clips), PackingOptions()))


def referenced(clip: Clip, reference: str | None) -> Clip:
    """`clip` with the reference as its text, where there is one."""
    return replace(clip, text=reference) if reference is not None else clip


def _write_student(config: DistilConfig, teacher: Path, start: Path) -> tuple[int, int]:
    """The student before training, in `start`; returns the parameters of teacher and student."""
    source = load_model(teacher)
    if config.student:
        student = load_model(hf_folder(config.student))
    else:
        student = make_student(source, config.decoder_layers, config.encoder_layers)
    if not start.exists():
        save_model(student, start, teacher, dtype=next(source.parameters()).dtype)
    return parameters(source), parameters(student)


def _teacher_wer(config: DistilConfig, options: RunOptions, smallest_s: float) -> float | None:
    assert options.dev is not None
    clips = list(ClipStore([options.dev]))
    if not clips:
        return None
    return Judge(clips, smallest_s, config.normaliser).score(ctranslate2_folder(config.teacher))
