"""Scores a model on a corpus with texts: WER, CER, speed, and a report to look at."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from safetensors import safe_open

from voxray import job
from voxray.audio import WINDOW_S
from voxray.corpora.columns import Columns
from voxray.corpora.items import Rejected
from voxray.corpora.sources import CORPUS_KINDS, load_clips
from voxray.corpora.store import Clip
from voxray.errors import ConfigError, CorpusError
from voxray.languages import Language
from voxray.scoring.rare_words import rare_words, recall_score
from voxray.scoring.report import ModelScores, ReportTable, write_report
from voxray.scoring.suites import Scores, score_engine, stage_times
from voxray.speech import MAX_PAUSE_S
from voxray.text import NormaliserName
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.digest import weight_files
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.models import ctranslate2_folder, hf_folder, is_ctranslate2

ComputeType = Literal[
    "default", "auto", "float32", "float16", "bfloat16", "int8", "int8_float32", "int8_float16"
]
TIMED_CLIPS = 8  # clips over which the decoder is timed


class ScoreConfig(Columns):
    """Which model to score, on what, and how it decodes."""

    model: str = "tiny.en"
    """The model: a name such as tiny.en, a folder (Hugging Face or CTranslate2) or a hub name."""
    corpus: str = Field(description=f"Clips with texts: {CORPUS_KINDS}.")
    split: str | None = "test"
    """The part of the corpus: train, dev or test; null is all of them."""
    out: Path
    """The folder for the report and the scores."""
    language: Language = None
    """The language of all clips; null: each clip's own, else English."""
    normaliser: NormaliserName = "auto"
    """Normaliser of texts before they are compared; auto goes by the language of the clip."""
    engine: Literal["auto", "transformers"] = "auto"
    """The engine; auto is CTranslate2, which converts other models first."""
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


def run(config: ScoreConfig) -> dict[str, Any]:
    """Score into `config.out`: `report.html` and `scores.json`; return the JSON line, rates in per cent.

    Raises CorpusError where the split holds no clip with a text.
    """
    clips, rejected = _clips(config)
    engine, folder = _engine(config)
    out = job.prepare_out(config.out, overwrite=config.overwrite)
    print(f"scoring {config.model} on {len(clips)} clips", file=sys.stderr, flush=True)
    options = DecodingOptions(
        language=config.language, timestamps=config.timestamps, beams=config.beams, batch_s=config.batch_s
    )
    smallest_s = engine.min_window_s
    max_pause_s = MAX_PAUSE_S if smallest_s < WINDOW_S else None  # only a model for short windows gains by it
    scores = score_engine(engine, clips, options, normaliser=config.normaliser, max_pause_s=max_pause_s)
    decoder_ms = _decoder_ms(engine, clips, options)
    result = {**_result(scores), "rejected": len(rejected)}
    tables = []
    if words := rare_words(scores.clips, config.rare_words, config.normaliser):
        print(f"scoring it again, with {len(words)} rare words as hotwords", file=sys.stderr, flush=True)
        listed = options.model_copy(update={"hotwords": ", ".join(words)})
        again = score_engine(engine, clips, listed, normaliser=config.normaliser, max_pause_s=max_pause_s)
        rows = {"without hotwords": scores, "with hotwords": again}
        result |= _rare(words, rows, config.normaliser)
        tables = [_rare_table(words, rows, config.normaliser)]
    section = ModelScores(config.model, scores, known_parameters(config.model, folder), decoder_ms)
    write_report(
        out / "report.html",
        f"{config.model} on {config.corpus}",
        [section],
        audio={clip.id: clip.pcm for clip in clips},
        notes=_notes(config, rejected, smallest_s),
        tables=tables,
        normaliser=config.normaliser,
        worst_clips=config.worst_clips,
    )
    write_scores(out / "scores.json", result, scores, rejected)
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


def _engine(config: ScoreConfig) -> tuple[Any, Path]:
    """Load the engine; return the folder that it was loaded from too."""
    if config.engine == "auto":
        folder = ctranslate2_folder(config.model)
        return CTranslate2Engine(folder, device=config.device, compute_type=config.compute_type), folder
    from voxray.whisper.transformers_engine import TransformersEngine  # 5 s of imports

    folder = hf_folder(config.model)
    dtype: Any = "auto" if config.compute_type == "default" else config.compute_type
    if dtype.startswith("int8"):
        raise ConfigError(
            f"expected a float type for engine=transformers, got compute_type={dtype}; leave one out."
        )
    smallest_s = ModelInfo.load(folder).min_window_s
    return TransformersEngine(folder, device=config.device, dtype=dtype, min_window_s=smallest_s), folder


def known_parameters(model: str, folder: Path) -> int | None:
    """How many weights the model has, as its export or its safetensors say; None where neither does."""
    if known := ModelInfo.load(folder).parameters:
        return known
    if is_ctranslate2(Path(model)):
        return None
    source = hf_folder(model)
    names = weight_files(p.name for p in source.iterdir())
    files = [source / name for name in names if name.endswith(".safetensors")]
    return sum(weights_in(file) for file in files) or None


def weights_in(file: Path) -> int:
    """Return how many numbers a safetensors file holds, from its header alone."""
    with safe_open(file, framework="numpy") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118  # no mapping


def _decoder_ms(engine: Any, clips: Sequence[Clip], options: DecodingOptions) -> float | None:
    if not isinstance(engine, CTranslate2Engine):
        return None
    timed = [clip for clip in clips if clip.duration_s <= WINDOW_S][:TIMED_CLIPS]
    named = options.model_copy(update={"language": options.language or clips[0].language})
    return stage_times([engine], [clip.pcm for clip in timed], named, runs=3)[0].decoder_ms if timed else None


def _notes(config: ScoreConfig, rejected: Sequence[Rejected], smallest_s: float) -> list[str]:
    engine = "CTranslate2" if config.engine == "auto" else "transformers"
    notes = [
        f"Split {config.split or 'all'}, engine {engine}, "
        f"beams {config.beams}, windows from {smallest_s:g} s, normaliser {config.normaliser}."
    ]
    if rejected:
        notes.append(f"{len(rejected)} clips were rejected; the first: {rejected[0].reason}")
    return notes


def _result(scores: Scores) -> dict[str, Any]:
    summary = scores.summary
    return {
        "wer": _percent(summary.wer),
        "cer": _percent(summary.cer),
        "clips": summary.clips,
        "words": summary.errors.reference_length,  # characters, where none are written apart
        "rtfx": round(scores.rtfx, 2),
        "substitutions": summary.errors.substitutions,
        "deletions": summary.errors.deletions,
        "insertions": summary.errors.insertions,
        "wer_low": _percent(summary.wer_low),
        "wer_high": _percent(summary.wer_high),
        "mean_clip_wer": _percent(summary.mean_clip_wer),
        "repeated_per_1000": round(summary.repeated_per_1000, 2),
        "audio_s": round(summary.audio_s, 1),
    }


def _rare(words: Sequence[str], rows: Mapping[str, Scores], name: NormaliserName) -> dict[str, Any]:
    plain, listed = (recall_score(words, scores.clips, name) for scores in rows.values())
    return {
        "rare_words": len(words),
        "rare_word_recall": _percent(plain.recall),
        "rare_word_recall_with_hotwords": _percent(listed.recall),
        "rare_words_invented": plain.invented,
        "rare_words_invented_with_hotwords": listed.invented,
        "wer_with_hotwords": _percent(rows["with hotwords"].summary.wer),
    }


def _rare_table(words: Sequence[str], rows: Mapping[str, Scores], name: NormaliserName) -> ReportTable:
    scored = {title: (scores, recall_score(words, scores.clips, name)) for title, scores in rows.items()}
    return ReportTable(
        f"The {len(words)} rarest words",
        ("Decoded", "recall, %", "found", "said", "invented", "WER, %"),
        [
            (
                *(title, f"{100 * r.recall:.1f}", str(r.found), str(r.occurrences), str(r.invented)),
                f"{100 * scores.summary.wer:.2f}",
            )
            for title, (scores, r) in scored.items()
        ],
    )


def _percent(rate: float) -> float:
    return round(100 * rate, 2)


def write_scores(file: Path, result: dict[str, Any], scores: Scores, rejected: Sequence[Rejected]) -> Path:
    """Write the result, each speaker's WER, each clip's texts and counts, and what was rejected, as JSON."""
    values = {
        **result,
        "speakers": {name: _percent(s.wer) for name, s in scores.speakers.items()},
        "per_clip": [{**asdict(clip), "wer": _percent(clip.errors.rate)} for clip in scores.clips],
        "rejected_clips": [asdict(r) for r in rejected],
    }
    file.write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n")
    return file
