"""Fine-tunes a model on a corpus with texts: CE on the references, early stopping by WER on the dev clips."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from voxray.audio import WINDOW_S
from voxray.cluster import cluster
from voxray.config import Positive
from voxray.corpora.items import Listing, Rejected
from voxray.corpora.sources import CORPUS_KINDS, corpora_in, iter_clips, list_corpus
from voxray.corpora.store import Clip, ClipStore, write_store
from voxray.errors import ConfigError, CorpusError
from voxray.files import atomic_file
from voxray.languages import KnownLanguage
from voxray.recipes.learning import (
    LearningConfig,
    MixtureWeights,
    check_weights,
    languages_after,
    prepared,
    run_options,
    train_stores,
)
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


class FinetuneConfig(LearningConfig):
    """What to fine-tune on what. The defaults suit 100 to 300 clips."""

    corpus: str = Field(description=f"Clips with texts: {CORPUS_KINDS}.")
    weights: MixtureWeights = ()
    """Share of each of several corpora (a+b) among an epoch's clips; empty: each clip counts the same."""
    model: str = "tiny.en"
    """The model to start from: a name such as tiny.en, a Hugging Face folder or a hub name."""
    train: Part = "encoder"
    """What is trained: encoder, decoder, all, or an adapter on all (lora, dora), which is merged."""
    lora: LoraOptions = LoraOptions()
    language: KnownLanguage = "en"
    """Language of clips that name none."""
    max_steps: int = Field(default=400, ge=1)
    """Optimiser steps of the whole run."""
    learning_rate: Positive = 1e-5
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
    def _a_weight_for_each(self) -> Self:
        check_weights(self.weights, len(corpora_in(self.corpus)), "the corpora")
        return self

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
    listings = list_splits(config)
    model, out = load_model(start), prepared(config)
    rejected = write_stores(config, listings, Tokens.load(start))
    options = _run_options(config, smallest_s)
    train_clips = ClipStore(options.train)
    known = languages_after(start, train_clips.languages())
    options = options.model_copy(update={"languages": known})
    if not options.start.exists():
        save_model(model, options.start, start, dtype=next(model.parameters()).dtype)
    with cluster():
        from voxray.training.trainer import train  # Ray Train: 3 s of imports

        train(options, config.workers)
    test_wer = _test_wer(config, smallest_s, out)
    return {
        "steps": last_step(out),
        "clips": len(train_clips),
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


def list_splits(config: FinetuneConfig) -> dict[str, Listing]:
    """List the clips to learn, those to evaluate on meanwhile, and, if there are any, the test clips.

    Clips of corpora with weights are in listings of their own, `train/0` and so on. No audio is read. Raises
    CorpusError where there is nothing in the first two.
    """
    corpora = corpora_in(config.corpus) if config.weights else [config.corpus]
    names = train_stores(Path("train"), len(corpora))
    places: dict[str, tuple[str, str | None]]
    places = {str(name): (corpus, "train") for name, corpus in zip(names, corpora, strict=True)}
    places["dev"] = (config.dev_corpus, config.dev_split) if config.dev_corpus else (config.corpus, "dev")
    listings = {
        name: list_corpus(corpus, split, need_text=True, columns=config)
        for name, (corpus, split) in places.items()
    }
    with suppress(CorpusError):  # a corpus without a test split can still be trained on
        listings["test"] = list_corpus(config.corpus, "test", need_text=True, columns=config)
    return listings


def write_stores(config: FinetuneConfig, listings: Mapping[str, Listing], tokens: Tokens) -> list[Rejected]:
    """Write the clips of each split to a store, unless it is there, and return what was rejected.

    Clip by clip, so that a corpus may be larger than the memory. What was rejected is in `out/rejected` too.
    Raises CorpusError where not one clip of the train or the dev split can be used.
    """
    rejected: list[Rejected] = []
    for split, listing in listings.items():  # `train`, or `train/0` and so on
        place, noted = config.out / f"clips-{split}", config.out / "rejected" / f"{split}.jsonl"
        if not place.exists():
            write_store(place, _usable(config, split.partition("/")[0], listing, tokens, noted))
        lines = noted.read_text().splitlines() if noted.exists() else []
        rejected += [Rejected(**json.loads(line)) for line in lines]
    return list(dict.fromkeys(rejected))  # what has no known split is in the listing of each


def _usable(
    config: FinetuneConfig, split: str, listing: Listing, tokens: Tokens, noted: Path
) -> Iterator[Clip]:
    """Yield the clips of `listing` that fit a window and whose text fits the decoder; note the others."""
    rejected, usable = list(listing.rejected), 0
    for read in iter_clips(listing, language=config.language, max_s=WINDOW_S):
        if isinstance(read, Rejected):
            rejected.append(read)
        elif reason := _too_long(read, tokens):
            print(reason, file=sys.stderr)
            rejected.append(Rejected(read.id, config.corpus, reason, split))
        else:
            usable += 1
            yield read
    if not usable and split != "test":
        corpus = config.dev_corpus if split == "dev" and config.dev_corpus else config.corpus
        raise CorpusError(
            f"{corpus}: expected clips with texts in {split!r}, got none that can be used: "
            f"{rejected[0].reason}"
        )
    noted.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(noted) as part:
        part.write_text("".join(json.dumps(asdict(r), ensure_ascii=False) + "\n" for r in rejected))


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
    adapter = {
        "lora": config.lora if config.train in ("lora", "dora") else None,
        "dora": config.train == "dora",
    }
    stores = train_stores(options.train[0], len(config.weights) or 1)
    return options.model_copy(update={"train": stores, "weights": config.weights, **adapter})


def _test_wer(config: FinetuneConfig, smallest_s: float, out: Path) -> dict[str, float | None]:
    """Return the WER of the test split before and after, null if the corpus has no such split."""
    place = out / "clips-test"
    clips = list(ClipStore([place])) if place.exists() else []
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
