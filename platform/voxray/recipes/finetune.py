"""Fine-tunes a model on a corpus with texts: CE on the references, early stopping by WER on the dev clips."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from voxray.audio import WINDOW_S
from voxray.cluster import cluster
from voxray.corpora.columns import Columns
from voxray.corpora.items import Rejected
from voxray.corpora.sources import CORPUS_KINDS, load_clips
from voxray.corpora.store import Clip, ClipStore, write_store
from voxray.errors import ConfigError, CorpusError
from voxray.languages import KnownLanguage
from voxray.recipes.learning import LearningConfig, dev_corpus_clips, prepared, run_options
from voxray.recipes.outcome import best_wer, first_wer, last_step, samples_per_s
from voxray.recipes.run_report import EvaluatedModel, RunDescription, write_run_report
from voxray.training.collate import LabelOptions
from voxray.training.evaluation import Evaluator, read_hypotheses
from voxray.training.lora_options import LoraOptions
from voxray.training.objective import ObjectiveOptions
from voxray.training.run import RunOptions
from voxray.training.schedule import Schedule
from voxray.whisper.checkpoint import load_model, parameters, save_model
from voxray.whisper.export import convert
from voxray.whisper.labels import label_room, text_tokens
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.models import ctranslate2_folder, hf_folder
from voxray.whisper.tokens import Tokens

Part = Literal["encoder", "decoder", "all", "lora", "dora"]
LORA_RATE = 1e-3


class FinetuneConfig(LearningConfig, Columns):
    """What to fine-tune on what. The defaults suit 100 to 300 clips."""

    corpus: str = Field(description=f"Clips with texts: {CORPUS_KINDS}.")
    model: str = "tiny.en"
    """The model to start from: a name such as tiny.en, a Hugging Face folder or a hub name."""
    train: Part = "encoder"
    """What is trained: encoder, decoder, all, or an adapter on all (lora, dora), which is merged."""
    lora: LoraOptions = LoraOptions()
    language: KnownLanguage = "en"
    """Language of clips that name none."""
    max_steps: int = Field(default=400, ge=1)
    """Optimiser steps of the whole run."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Peak learning rate of AdamW; for lora and dora 1e-3 unless it is given."""
    schedule: Schedule = "polynomial"
    """How the rate falls after the warm-up: constant, linear, cosine or polynomial (quadratic)."""
    min_lr_ratio: float = Field(default=0.1, ge=0, le=1)
    """Fraction of the peak rate that is left at the end."""
    labels: LabelOptions = LabelOptions(timestamp_probability=0.2)
    time_masks: int = Field(default=1, ge=0)
    """Masks of up to 0.4 s in each window."""
    frequency_masks: int = Field(default=1, ge=0)
    """Masks of up to a sixth of the mel bands in each window."""
    evaluate_every: int = Field(default=25, ge=1)
    """Steps from one evaluation on the dev clips to the next; each also writes a checkpoint."""
    patience: int = Field(default=6, ge=0)
    """Evaluations without a lower WER that end the run; 0 goes on to max_steps."""

    @model_validator(mode="before")
    @classmethod
    def _rate_of_adapters(cls, given: object) -> object:
        if isinstance(given, dict) and given.get("train") in ("lora", "dora"):
            return {"learning_rate": LORA_RATE, **given}
        return given

    @model_validator(mode="after")
    def _no_average_of_adapters(self) -> Self:
        if self.train in ("lora", "dora") and self.ema_decay:
            raise ValueError(f"expected ema_decay=0 with train={self.train}, got {self.ema_decay:g}")
        return self


def run(config: FinetuneConfig) -> dict[str, Any]:
    """Fine-tune into `out/model`, the best model, and return what the JSON line says, WER in per cent.

    A killed run in the same `out` is resumed. Raises CorpusError if there are no clips with texts in
    the train or the dev split.
    """
    start = hf_folder(config.model)
    smallest_s = _smallest_window_s(config, start)
    tokens = Tokens.load(start)
    splits = {split: _clips(config, split, tokens) for split in ("train", "dev", "test")}
    for split in ("train", "dev"):
        if not splits[split][0]:
            raise CorpusError(f"{config.corpus}: expected clips with texts in the split {split!r}, got none.")
    out = prepared(config)
    options = _run_options(config, smallest_s)
    for split, place in (("train", options.train[0]), ("dev", options.dev)):
        if place and not place.exists():
            write_store(place, splits[split][0])
    model = load_model(start)
    if not options.start.exists():
        save_model(model, options.start, start, dtype=next(model.parameters()).dtype)
    with cluster():
        from voxray.training.trainer import train  # Ray Train: 3 s of imports

        train(options, config.workers)
    test_wer = _test_wer(config, splits["test"][0], smallest_s, out)
    rejected = [r for _, its in splits.values() for r in its]
    return {
        "steps": last_step(out),
        "clips": len(ClipStore(options.train)),
        "rejected": len(rejected),
        "wer_dev_before": first_wer(out),
        "wer_dev": best_wer(out),
        **test_wer,
        "parameters": parameters(model),
        "samples_per_s": samples_per_s(out),
        "model": str(out / "model"),
        "report": str(_report(config, options, parameters(model), test_wer, rejected)),
    }


def _smallest_window_s(config: FinetuneConfig, start: Path) -> float:
    passed_s = ModelInfo.load(start).min_window_s
    wanted_s = config.smallest_window_s or passed_s
    if wanted_s < passed_s and config.train == "decoder":
        raise ConfigError(
            f"smallest_window_s={wanted_s:g}: expected at least {passed_s:g}, the smallest window that "
            f"{config.model} passed; add train=all, so that its encoder learns it."
        )
    return wanted_s


def _clips(config: FinetuneConfig, split: str, tokens: Tokens) -> tuple[list[Clip], list[Rejected]]:
    """Return the clips of `split` that have a text and fit a window, and those that were rejected.

    A clip whose text is longer than the decoder is rejected too, and named on stderr: nothing of it would be
    learned.
    """
    if split == "dev" and config.dev_corpus:
        return dev_corpus_clips(config, config.language, config), []
    try:
        clips, rejected = load_clips(
            config.corpus, split, language=config.language, max_s=WINDOW_S, columns=config
        )
    except CorpusError:
        if split != "test":  # a corpus without a test split can still be trained on
            raise
        return [], []
    too_long = {clip.id: reason for clip in clips if (reason := _too_long(clip, tokens))}
    for reason in too_long.values():
        print(reason, file=sys.stderr)
    more = [Rejected(id, config.corpus, reason, split) for id, reason in too_long.items()]
    return [clip for clip in clips if clip.id not in too_long], [*rejected, *more]


def _too_long(clip: Clip, tokens: Tokens) -> str | None:
    count, room = text_tokens(tokens, clip.text), label_room(tokens)
    if count <= room:
        return None
    return f"{clip.id}: expected a text of at most {room} tokens, the decoder, got {count}; rejected."


def _run_options(config: FinetuneConfig, smallest_s: float) -> RunOptions:
    objective = ObjectiveOptions(
        ce_weight=1.0,
        kl_weight=0.0,
        freeze_encoder=config.train == "decoder",
        freeze_decoder=config.train == "encoder",
    )
    options = run_options(config, objective, smallest_s)
    adapted = config.train in ("lora", "dora")
    return options.model_copy(
        update={"lora": config.lora if adapted else None, "dora": config.train == "dora"}
    )


def _test_wer(
    config: FinetuneConfig, clips: Sequence[Clip], smallest_s: float, out: Path
) -> dict[str, float | None]:
    """Return the WER of the test split before and after, null if the corpus has no such split."""
    if not clips:
        return {"wer_test_before": None, "wer_test": None}
    evaluator = Evaluator(clips, smallest_s, config.normaliser)
    after = convert(out / "model", out / "evaluation" / "ctranslate2")
    return {
        "wer_test_before": evaluator.score(ctranslate2_folder(config.model)),
        "wer_test": evaluator.score(after),
    }


def _report(
    config: FinetuneConfig,
    options: RunOptions,
    size: int,
    test_wer: Mapping[str, float | None],
    rejected: Sequence[Rejected],
) -> Path:
    """Write the page of the run."""
    first, best = (read_hypotheses(options.out, which) for which in ("first", "best"))
    part = {"encoder": "the encoder", "decoder": "the decoder", "all": "all"}.get(config.train, "an adapter")
    run = RunDescription(
        subject=f"Fine-tuning: {part} of {config.model} on {config.corpus}",
        models=[
            EvaluatedModel("before", first, size, test_wer["wer_test_before"]),
            EvaluatedModel("fine-tuned", best, size, test_wer["wer_test"]),
        ],
        left_out=[r.reason for r in rejected],
        workers=config.workers,
        dev_corpus=config.dev_corpus,
    )
    return write_run_report(options, run)
