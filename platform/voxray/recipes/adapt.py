"""Makes any Whisper streamable: trains it to transcribe short windows as it does windows of 30 s.

corpora -> windows (cut, joined, sped up, noisy, silent) -> the model itself on 30 s, cached
-> LoRA or full training on 2 to 30 s -> scores on each window, before and after -> adapter, model, int8
"""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import BeforeValidator, Field, model_validator

from voxray import job
from voxray.audio import SAMPLE_RATE, WINDOW_S
from voxray.corpora.columns import Columns
from voxray.corpora.items import Rejected
from voxray.corpora.sources import CORPUS_KINDS, load_clips
from voxray.corpora.splits import split_of
from voxray.corpora.store import Clip
from voxray.errors import CorpusError, LabellingError, OutputError
from voxray.languages import KnownLanguage
from voxray.recipes.adapt_report import Adaptation, write_adapt_report
from voxray.recipes.adapt_scores import print_scores
from voxray.recipes.adapt_training import Training, TrainingOptions
from voxray.recipes.learning import options_of
from voxray.remote_out import OutFolder
from voxray.scoring.windows import (
    SILENCES,
    TeacherTexts,
    WindowEvaluator,
    WindowScore,
    silences,
    smallest_passed,
)
from voxray.speech import cut_at_pauses
from voxray.text import NormaliserName
from voxray.training.augment import AugmentOptions
from voxray.training.metrics_log import LOGGED
from voxray.training.plan import PlanOptions
from voxray.training.rendering import RenderedWindows, plan_corpora, plan_silences
from voxray.training.teacher_cache import Teacher, TeacherCache, fill
from voxray.whisper.checkpoint import load_model
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.digest import digest
from voxray.whisper.export import convert
from voxray.whisper.models import ctranslate2_folder, hf_folder
from voxray.whisper.tokens import Tokens

LEAST_S = 60.0  # of audio to learn from
TEACHER = "teacher"
CONTENTS = (
    *("model", "ctranslate2", "adapter", "checkpoint.pt", "steps.json"),
    *("config.json", "teacher.json", "before.json", "report.html", "clips.json", "result.json"),
    *LOGGED,
)
FREE = {"out", "overwrite", "threads", "wandb_project"}
"""Keys that may differ when an unfinished run goes on."""
TARGET_KEYS = {
    "model_digest",
    "corpus",
    "language",
    "passes",
    "windows_per_corpus",
    "windows",
    "silences",
    "augment",
    *Columns.model_fields,
}
"""What the teacher's targets depend on."""


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class AdaptConfig(TrainingOptions, Columns):
    """What is adapted on what, and how."""

    model: str = "tiny.en@stock"
    """The model to adapt: a name such as small, a folder or a hub name."""
    corpus: Annotated[tuple[str, ...], BeforeValidator(_several)] = Field(
        description=f"The clips, one corpus or a list, texts not needed: {CORPUS_KINDS}."
    )
    out: OutFolder
    """Folder of the run: its adapter, model and ctranslate2. An unfinished run in it goes on."""
    passes: int = Field(default=2, ge=1)
    """Windows made of each clip; each pass has other cuts, speeds and noise."""
    windows_per_corpus: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Most windows of a corpus, one number or one for each: bounds labelling and balances the corpora."""
    windows: PlanOptions = PlanOptions(
        cut_probability=0.3,
        join_probability=0.08,
        join_s=(6.0, 20.0),
        speed_probability=0.25,
    )
    """How clips become the windows that the teacher labels."""
    silences: int = Field(default=64, ge=0)
    """Windows of silence and noise, labelled as such without a teacher."""
    augment: AugmentOptions = AugmentOptions(noise=0.25, room=0.05, telephone=0.1, gain_db=6.0)
    """What is done to their audio."""
    max_dev_clips: int = Field(default=100, ge=1)
    """Held-out clips that judge: of the corpora's dev splits, else a tenth of their clips."""
    dev_silences: int = Field(default=SILENCES, ge=0)
    """Clips of silence and noise that judge too: no word may be found in them that the teacher does not."""
    language: KnownLanguage = "en"
    """Language of clips that name none."""
    normaliser: NormaliserName = "auto"
    """Normaliser of texts before they are compared; auto goes by the language."""
    overwrite: bool = False
    """Start afresh if the folder holds another or a finished run."""

    @model_validator(mode="after")
    def _one_number_for_each(self) -> Self:
        if isinstance(self.windows_per_corpus, tuple) and len(self.windows_per_corpus) != len(self.corpus):
            raise ValueError(
                f"expected {len(self.corpus)} numbers in windows_per_corpus, one for each corpus"
            )
        return self

    def most_windows(self) -> Sequence[int | None]:
        """Return the most windows of each corpus."""
        most = self.windows_per_corpus
        return most if isinstance(most, tuple) else (most,) * len(self.corpus)


def run(config: AdaptConfig) -> dict[str, Any]:
    """Adapt into `out`: adapter, merged model and int8 export. Return the values of the JSON line.

    The same `out` goes on where a killed run stopped. Raises CorpusError for a corpus of under a minute and
    LabellingError where the model transcribes no words in it.
    """
    base = hf_folder(config.model)
    out = job.prepare_out(config.out, overwrite=config.overwrite, resume=True).resolve()
    data = _clips(config)
    _bind(config, base, out)
    if config.threads:
        torch.set_num_threads(config.threads)
    durations_s = [[clip.duration_s for clip in clips] for clips in data.train]
    plans = plan_corpora(durations_s, config.windows, config.passes, config.most_windows())
    plans += plan_silences(config.silences, config.windows.seed)
    windows = RenderedWindows([*chain.from_iterable(data.train)], plans, config.augment)
    cache = _targets(config, base, windows, out / TEACHER)
    evaluator = _evaluator(config, data.dev, out / "teacher.json")
    before = _before(config, evaluator, out / "before.json")
    training = Training(config, base, windows, cache, out)
    training.run(evaluator)
    engine = CTranslate2Engine(convert(training.write(), out / "ctranslate2"), threads=config.threads)
    after = list(evaluator.scores(engine, config.smallest_window_s))
    passed_s = smallest_passed(after, config.tolerance)
    training.finish(config.model, passed_s or WINDOW_S)
    print_scores(before, after, config.tolerance)
    trained = training.result()
    adaptation = Adaptation(
        model=config.model,
        corpora=config.corpus,
        audio_s=sum(map(sum, durations_s)),
        clips=len(windows.clips),
        trained=trained,
        tolerance=config.tolerance,
        before=before,
        after=after,
        left_out=[rejected.reason for rejected in data.rejected],
        texts=evaluator.hypotheses(engine, passed_s or WINDOW_S),
    )
    return {
        "passed": passed_s is not None,
        "min_window_s": passed_s or WINDOW_S,
        "clips": len(windows.clips),
        **trained,
        "before": [asdict(score) for score in before],
        "after": [asdict(score) for score in after],
        "model": str(out / "model"),
        "report": str(write_adapt_report(out, adaptation, evaluator)),
    }


def _bind(config: AdaptConfig, base: Path, out: Path) -> None:
    """Bind `out` to the options of this run; OutputError if the unfinished run there has others.

    `overwrite` clears it, but keeps the teacher's targets where they would be the same again.
    """
    free = FREE if config.given else FREE | set(Columns.model_fields)
    options = {"model_digest": digest(base), **config.model_dump(mode="json", exclude=free)}
    target_options = {key: value for key, value in options.items() if key in TARGET_KEYS}
    file = out / "config.json"
    before = options_of(file, "passes") or options
    if before != options and not config.overwrite:
        raise OutputError(
            f"{out}: expected the options of the unfinished run there, got others; change out=, or add "
            "overwrite=true to start afresh."
        )
    if config.overwrite:
        same = target_options == {key: value for key, value in before.items() if key in TARGET_KEYS}
        for path in (out / name for name in (*CONTENTS, *(() if same else (TEACHER,)))):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    file.write_text(json.dumps(options))


@dataclass(frozen=True, slots=True)
class AdaptClips:
    """The clips to learn from, by corpus, those that judge, and those that were rejected."""

    train: Sequence[Sequence[Clip]]
    dev: Sequence[Clip]
    rejected: Sequence[Rejected]


def _clips(config: AdaptConfig) -> AdaptClips:
    """Return the clips; those that judge are the dev splits, else a tenth."""
    each = max(1, config.max_dev_clips // len(config.corpus))
    train: list[list[Clip]] = []
    dev: list[Clip] = []
    rejected: list[Rejected] = []
    for corpus in config.corpus:
        clips, held_out = (_split(config, corpus, split, rejected) for split in ("train", "dev"))
        if not held_out:
            held_out = [clip for clip in clips if split_of(clip.id) == "dev"]
            clips = [clip for clip in clips if split_of(clip.id) != "dev"]
        train.append(clips)
        dev += _spread(held_out, each)
    seconds = sum(clip.duration_s for clips in train for clip in clips)
    if seconds < LEAST_S or not dev:
        raise CorpusError(
            f"{', '.join(config.corpus)}: expected at least {LEAST_S:g} s of audio to learn from and a clip "
            f"to be judged on, got {seconds:.0f} s and {len(dev)} clips; add recordings of any speech."
        )
    return AdaptClips(train, dev, rejected)


def _split(config: AdaptConfig, corpus: str, split: str, rejected: list[Rejected]) -> list[Clip]:
    """Return the clips of a split, those over 30 s cut at pauses; no clips where there is no dev split.

    What is rejected is added to `rejected`.
    """
    try:
        clips, bad = load_clips(corpus, split, need_text=False, language=config.language, columns=config)
    except CorpusError:
        if split == "train":
            raise
        return []
    rejected += bad
    return [piece for clip in clips for piece in _pieces(clip)]


def _pieces(clip: Clip) -> list[Clip]:
    if clip.duration_s <= WINDOW_S:
        return [clip]
    bounds = [(round(s.start_s * SAMPLE_RATE), round(s.end_s * SAMPLE_RATE)) for s in cut_at_pauses(clip.pcm)]
    return [replace(clip, id=f"{clip.id}-{a}", pcm=clip.pcm[a:b], text="", words=()) for a, b in bounds]


def _spread(clips: Sequence[Clip], most: int) -> list[Clip]:
    """Return at most `most` of `clips`, spread evenly over them."""
    step = max(1.0, len(clips) / most)
    return [clips[int(i * step)] for i in range(min(most, len(clips)))]


def _targets(config: AdaptConfig, base: Path, windows: RenderedWindows, folder: Path) -> TeacherCache:
    """Return the teacher's targets of `windows`; LabellingError where there is no word in any."""
    cache = fill(
        folder,
        windows,
        [bool(window.clips) for window in windows.windows],
        lambda: Teacher(_teacher_engine(config), load_model(base)),
        lambda done, total: _report(f"teacher: {done} of {total} windows"),
    )
    tokens = Tokens.load(base)
    if not any(tokens.decode(label.inputs) for label in cache.labels() if label):
        raise LabellingError(
            f"{', '.join(config.corpus)}: expected speech, got none in which {config.model} finds a word; "
            "check the level of the recordings and their language."
        )
    return cache


def _teacher_engine(config: AdaptConfig) -> CTranslate2Engine:
    folder = ctranslate2_folder(config.model, "float16")
    compute_type = "default" if torch.cuda.is_available() else "float32"
    engine = CTranslate2Engine(folder, compute_type=compute_type, threads=config.threads)
    engine.min_window_s = WINDOW_S
    return engine


def _evaluator(config: AdaptConfig, clips: Sequence[Clip], file: Path) -> WindowEvaluator:
    """Return what judges on `clips`.

    What the model transcribes in them on 30 s, in float, is read from `file` where that exists.
    """
    wordless = silences(np.random.default_rng(0), config.dev_silences)
    if not file.exists():
        file.write_text(json.dumps(asdict(TeacherTexts.of(_teacher_engine(config), clips, wordless))))
    teacher = TeacherTexts(**json.loads(file.read_text()))
    return WindowEvaluator(clips, teacher, config.normaliser, wordless)


def _before(config: AdaptConfig, evaluator: WindowEvaluator, file: Path) -> list[WindowScore]:
    if not file.exists():
        _report("scores of the model as it is")
        engine = CTranslate2Engine(ctranslate2_folder(config.model), threads=config.threads)
        scores = list(evaluator.scores(engine, config.smallest_window_s))
        file.write_text(json.dumps([asdict(score) for score in scores]))
    return [WindowScore(**values) for values in json.loads(file.read_text())]


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
