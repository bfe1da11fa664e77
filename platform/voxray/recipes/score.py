"""Scores models on a corpus with texts: WER, CER, speed, suites of conditions, and a report to look at."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from voxray import job
from voxray.audio import WINDOW_S, decode
from voxray.corpora.columns import Columns
from voxray.corpora.items import Rejected
from voxray.corpora.sources import CORPUS_KINDS, load_clips
from voxray.corpora.store import Clip
from voxray.errors import CorpusError
from voxray.languages import Language
from voxray.recipes.learning import several
from voxray.recipes.score_material import MostClips, SuiteMaterial
from voxray.recipes.score_models import (
    ComputeType,
    EngineName,
    ModelEngine,
    check_languages,
    find_models,
    known_parameters,
)
from voxray.recipes.score_report import (
    RareWordScores,
    clip_values,
    comparison_tables,
    comparison_values,
    noise_plots,
    overview_table,
    rare_word_tables,
    result_of,
    suite_notes,
    suite_tables,
    suite_values,
    write_scores,
)
from voxray.recipes.score_suites import Subject, run_suite, score_speculative
from voxray.remote_out import OutFolder
from voxray.scoring.comparison import compare_with_first, deciding
from voxray.scoring.rare_words import rare_words
from voxray.scoring.report import ModelScores, write_report
from voxray.scoring.suite_scores import SuiteChoice, SuiteName, SuiteScores
from voxray.scoring.suites import stage_times
from voxray.text import NormaliserName
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions, Engine
from voxray.whisper.models import ctranslate2_folder

TIMED_CLIPS = 8  # clips over which the decoder is timed
SUITE_NAMES: tuple[SuiteName, ...] = get_args(SuiteName)


class ScoreConfig(Columns):
    """Which models to score, on what, and how they decode."""

    model: str = "tiny.en"
    """The model: a name such as tiny.en, a folder (Hugging Face or CTranslate2) or a hub name."""
    models: Annotated[tuple[str, ...], BeforeValidator(several)] = ()
    """Several models, in place of `model`, on the same clips; each is compared with the first."""
    suites: Annotated[tuple[SuiteChoice, ...], BeforeValidator(several)] = ("corpus",)
    """What is scored: the corpus always; noise, telephone, silence, cut, long, live, speculative, or all."""
    most_clips: MostClips = MostClips()
    """How many clips each suite takes at most."""
    music: Path | None = None
    """A file of music, for the suite noise."""
    seed: int = Field(default=0, ge=0)
    """Of what the suites draw at random."""
    corpus: str = Field(description=f"Clips with texts: {CORPUS_KINDS}.")
    split: str | None = "test"
    """The part of the corpus: train, dev or test; null is all of them."""
    out: OutFolder
    """The folder for the report and the scores."""
    language: Language = None
    """The language of all clips; null: each clip's own, else English."""
    normaliser: NormaliserName = "auto"
    """Normaliser of texts before they are compared; auto goes by the language of the clip."""
    engine: Annotated[tuple[EngineName, ...], Field(min_length=1), BeforeValidator(several)] = ("auto",)
    """The engine, or one for each model; auto is CTranslate2, which converts other models first."""
    beams: int = Field(default=1, ge=1)
    """Width of the beam search; 1 is greedy."""
    timestamps: bool = False
    """Decode with timestamp tokens."""
    batch_s: float = Field(default=120.0, gt=0)
    """Seconds of audio in one batch."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """The device that decodes; auto takes a GPU if there is one."""
    compute_type: ComputeType = "default"
    """Arithmetic, as CTranslate2 names it; transformers takes the unmixed floats."""
    rare_words: int = Field(default=0, ge=0)
    """How many of the rarest words a second pass is given as hotwords, to compare what is found."""
    worst_clips: int = Field(default=20, ge=0)
    """Clips that the report shows, at most."""
    overwrite: bool = False
    """Write to OUT even if it holds a result."""

    @property
    def options(self) -> DecodingOptions:
        """How engines decode."""
        return DecodingOptions(
            language=self.language, timestamps=self.timestamps, beams=self.beams, batch_s=self.batch_s
        )

    @property
    def chosen_suites(self) -> list[SuiteName]:
        """The suites beside the corpus, in the order of the report."""
        return [s for s in SUITE_NAMES[1:] if s in self.suites or "all" in self.suites]


@dataclass(frozen=True, slots=True)
class ScoredModel:
    """What was measured of one model."""

    model: ModelEngine
    section: ModelScores
    rare: RareWordScores | None
    suites: Mapping[SuiteName, SuiteScores]


@dataclass
class SuiteClock:
    """Seconds that each suite took, over all models; what is prepared counts for the suite that needs it."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, suite: str, model: str) -> Iterator[None]:
        """Time a suite, and print how long it took."""
        start_s = time.perf_counter()
        yield
        taken_s = time.perf_counter() - start_s
        self.seconds[suite] = round(self.seconds.get(suite, 0.0) + taken_s, 1)
        print(f"{suite} of {model}: {taken_s:.1f} s", file=sys.stderr, flush=True)


def run(config: ScoreConfig) -> dict[str, Any]:
    """Score into `config.out`: `report.html` and `scores.json`; return the JSON line, rates in per cent.

    Raises CorpusError where the split holds no clip with a text, ConfigError where models do not match.
    """
    clips, rejected = _clips(config)
    models = find_models(config.models or (config.model,), config.engine, config.compute_type)
    check_languages(models, (clip.language for clip in clips))
    material = _material(config, clips, models[0])
    out = job.prepare_out(config.out, overwrite=config.overwrite)
    names = " and ".join(m.name for m in models)
    print(f"scoring {names} on {len(clips)} clips", file=sys.stderr, flush=True)
    clock = SuiteClock()
    scored = [_score(config, model, material, clock) for model in models]
    results: dict[SuiteName, dict[str, SuiteScores]] = {
        suite: {s.model.name: s.suites[suite] for s in scored} for suite in scored[0].suites
    }
    if "speculative" in config.chosen_suites:
        with clock.timed("speculative", names):
            sizes = [s.section.parameters for s in scored]
            results["speculative"] = score_speculative(models, sizes, material)
    _write_report(config, scored, results, material, _notes(config, models, rejected, results, clock))
    result = _result(config, scored, results, clock) | {"rejected": len(rejected)}
    per_model = {s.model.name: clip_values(s.section.scores) for s in scored}
    values = next(iter(per_model.values())) if len(scored) == 1 else {"clips_by_model": per_model}
    write_scores(out / "scores.json", {**result, **values}, rejected)
    return result


def _clips(config: ScoreConfig) -> tuple[list[Clip], list[Rejected]]:
    clips, rejected = load_clips(
        config.corpus, config.split, language=config.language or "en", columns=config
    )
    if not any(clip.text.strip() for clip in clips):
        raise CorpusError(
            f"{config.corpus}: expected clips with reference texts in {config.split or 'any split'}, but "
            "none has one; add <uid>.txt files or a text column."
        )
    return [replace(c, language=config.language or c.language) for c in clips], rejected


def _material(config: ScoreConfig, clips: Sequence[Clip], first: ModelEngine) -> SuiteMaterial:
    return SuiteMaterial(
        clips=clips,
        options=config.options,
        aligner=lambda: CTranslate2Engine(ctranslate2_folder(first.model), device=config.device),
        most=config.most_clips,
        normaliser=config.normaliser,
        music=decode(config.music) if config.music else None,
        seed=config.seed,
    )


def _score(
    config: ScoreConfig, model: ModelEngine, material: SuiteMaterial, clock: SuiteClock
) -> ScoredModel:
    engine = model.load(config.device, config.compute_type)
    subject = Subject(model, engine, material)
    with clock.timed("corpus", model.name):
        scores = subject.scores(material.clips)
        decoder_ms = _decoder_ms(engine, material.clips, config.options)
    rare = None
    if words := rare_words(scores.clips, config.rare_words, config.normaliser):
        with clock.timed(f"{len(words)} rare words as hotwords", model.name):
            listed = material.options.model_copy(update={"hotwords": ", ".join(words)})
            rare = RareWordScores(words, scores, subject.scores(material.clips, listed))
    suites: dict[SuiteName, SuiteScores] = {}
    for suite in config.chosen_suites:
        if suite != "speculative":
            with clock.timed(suite, model.name):
                suites[suite] = run_suite(suite, subject)
    size = known_parameters(model.model, model.folder)
    return ScoredModel(model, ModelScores(model.name, scores, size, decoder_ms), rare, suites)


def _decoder_ms(engine: Engine, clips: Sequence[Clip], options: DecodingOptions) -> float | None:
    if not isinstance(engine, CTranslate2Engine):
        return None
    timed = [clip for clip in clips if clip.duration_s <= WINDOW_S][:TIMED_CLIPS]
    named = options.model_copy(update={"language": options.language or clips[0].language})
    return stage_times([engine], [clip.pcm for clip in timed], named, runs=3)[0].decoder_ms if timed else None


def _write_report(
    config: ScoreConfig,
    scored: Sequence[ScoredModel],
    results: Mapping[SuiteName, Mapping[str, SuiteScores]],
    material: SuiteMaterial,
    notes: Sequence[str],
) -> None:
    names = [s.model.name for s in scored]
    models = {s.model.name: s.section.scores.clips for s in scored}
    rate = scored[0].section.scores.summary.rate_name
    rare = {s.model.name: s.rare for s in scored if s.rare}
    write_report(
        config.out / "report.html",
        f"{' and '.join(names) if len(names) < 3 else f'{len(names)} models'} on {config.corpus}",
        [s.section for s in scored],
        headline=deciding(compare_with_first(models)).headline if len(models) > 1 else "",
        audio={clip.id: clip.pcm for clip in material.clips},
        notes=notes,
        tables=[
            *overview_table(results, names, rate),
            *comparison_tables(models),
            *suite_tables(results, rate),
            *rare_word_tables(rare, config.normaliser),
        ],
        plots=noise_plots(results, rate),
        normaliser=config.normaliser,
        worst_clips=config.worst_clips,
    )


def _notes(
    config: ScoreConfig,
    models: Sequence[ModelEngine],
    rejected: Sequence[Rejected],
    results: Mapping[SuiteName, Mapping[str, SuiteScores]],
    clock: SuiteClock,
) -> list[str]:
    windows = " and ".join(dict.fromkeys(f"{m.min_window_s:g}" for m in models))
    engines = " and ".join(dict.fromkeys("CTranslate2" if m.engine == "auto" else m.engine for m in models))
    notes = [
        f"Split {config.split or 'all'}, engine {engines}, beams {config.beams}, windows from {windows} s, "
        f"normaliser {config.normaliser}.",
        *suite_notes(results),
    ]
    if results:
        most = config.most_clips.model_dump()
        clips = ", ".join(f"{name} {most[name]}" for name in results)
        seconds = ", ".join(f"{name} {taken_s:.0f}" for name, taken_s in clock.seconds.items())
        notes += [f"Clips of each suite, at most: {clips}.", f"Seconds that were taken: {seconds}."]
    if rejected:
        notes.append(f"{len(rejected)} clips were rejected; the first: {rejected[0].reason}")
    return notes


def _result(
    config: ScoreConfig,
    scored: Sequence[ScoredModel],
    results: Mapping[SuiteName, Mapping[str, SuiteScores]],
    clock: SuiteClock,
) -> dict[str, Any]:
    models = {
        s.model.name: result_of(s.section.scores) | (s.rare.values(config.normaliser) if s.rare else {})
        for s in scored
    }
    suites = {"suites": suite_values(results), "seconds": clock.seconds} if results else {}
    if len(models) == 1:
        return next(iter(models.values())) | suites
    comparisons = compare_with_first({s.model.name: s.section.scores.clips for s in scored})
    return {
        "headline": deciding(comparisons).headline,
        "models": models,
        "comparisons": [comparison_values(c) for c in comparisons],
        **suites,
    }
