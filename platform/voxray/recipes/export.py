"""Export a trained model to the form that is served, and check it against its source."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from voxray import job
from voxray.audio import WINDOW_S
from voxray.corpora.columns import Columns
from voxray.corpora.sources import CORPUS_KINDS, load_clips
from voxray.corpora.store import Clip
from voxray.languages import Language
from voxray.recipes.model_card import write_card
from voxray.remote_out import OutFolder
from voxray.scoring.metrics import score_clip, summarise
from voxray.text import NormaliserName
from voxray.whisper.engines import DecodingResult
from voxray.whisper.export import TOLERANCE, CheckSet, export
from voxray.whisper.export_formats import QUANTIZATIONS, Format, Quantization
from voxray.whisper.model_info import CheckScore, ModelInfo
from voxray.whisper.models import hf_folder


class ExportConfig(Columns):
    """What to export, in which quantization, and the clips it is checked on."""

    model: str = "tiny.en"
    """The model to export: a name such as tiny.en, a Hugging Face folder or a hub name."""
    out: OutFolder
    """Folder of the export."""
    format: Format = "ctranslate2"
    """What it is exported to: ctranslate2, ggml (for whisper.cpp), transformers or openai (model.pt)."""
    quantization: Quantization | None = Field(default=None, validate_default=True)
    """Type of the weights; null is int8, in ggml f16 (q8_0, q5_0), in the others float16."""
    license: str | None = None
    """Licence of the model, for its card, such as apache-2.0; null is unknown."""
    corpus: str = Field(
        default="builtin", description=f"Clips to check it on, best with texts: {CORPUS_KINDS}."
    )
    split: str | None = "test"
    """train, dev or test; null is all of them."""
    language: Language = None
    """Spoken language; null goes by the clip, else English."""
    normaliser: NormaliserName = "auto"
    """Normaliser of texts before they are compared; auto goes by the language."""
    max_clips: int = Field(default=40, ge=1)
    """Clips to check it on, at most."""
    tolerance: float = Field(default=100 * TOLERANCE, ge=0)
    """Points of WER (CER where words are not spaced) that it may lose; without texts, per cent."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto, cpu or cuda."""
    overwrite: bool = False
    """Replace what the folder holds."""

    @field_validator("quantization")
    @classmethod
    def _of_the_format(cls, quantization: Quantization | None, info: ValidationInfo) -> Quantization | None:
        known = QUANTIZATIONS[info.data.get("format", "ctranslate2")]
        if quantization and quantization not in known:
            raise ValueError(f"expected {', '.join(known[:-1])} or {known[-1]} in this format")
        return quantization or known[0]


def run(config: ExportConfig) -> dict[str, Any]:
    """Export to `config.out`, with a model card. Return what the JSON line says, error rates in per cent.

    Raises ExportError where the export does not transcribe as its source does.
    """
    source = hf_folder(config.model)
    clips = check_set(config)
    out = job.prepare_out(config.out, overwrite=config.overwrite)
    _say(f"exporting {source}, checked on {len(clips)} clips")
    check = CheckSet(
        [clip.pcm for clip in clips],
        languages=[clip.language for clip in clips],
        references=[clip.text for clip in clips] if all(clip.text for clip in clips) else (),
        tolerance=config.tolerance / 100,
        normaliser=config.normaliser,
    )
    done = export(
        source,
        out,
        check,
        format=config.format,
        quantization=config.quantization,
        device=config.device,
        describe=partial(_describe, config, clips, source),
    )
    if done.info.wer_to_source is None:
        _say("The export was not checked by running it: pip install pywhispercpp, and export it again.")
    return {
        "path": str(done.path),
        "format": done.info.format,
        "quantization": done.info.quantization,
        "bytes": done.bytes,
        "min_window_s": done.info.min_window_s,
        "wer_to_source": _percent(done.info.wer_to_source),
        "clips": len(clips),
        "windows": {window: _percent(rate) for window, rate in done.info.windows.items()},
    }


def _describe(
    config: ExportConfig,
    clips: Sequence[Clip],
    source: Path,
    folder: Path,
    info: ModelInfo,
    results: Sequence[DecodingResult],
) -> ModelInfo:
    """Write the card of an export to `folder`, and return `info` with its score on the check set."""
    info = info.model_copy(update={"source_name": config.model})
    if results and all(clip.text for clip in clips):
        info = info.model_copy(update={"score": _score(config, clips, results)})
    write_card(folder, info, config.model, source, config.license)
    return info


def _score(config: ExportConfig, clips: Sequence[Clip], results: Sequence[DecodingResult]) -> CheckScore:
    scored = [
        score_clip(clip.id, clip.text, result.text, clip.duration_s, clip.language, config.normaliser)
        for clip, result in zip(clips, results, strict=True)
    ]
    summary = summarise(scored)
    return CheckScore(
        corpus=config.corpus,
        split=config.split,
        clips=len(clips),
        kind=summary.rate_name,
        rate=summary.wer,
        low=summary.wer_low,
        high=summary.wer_high,
    )


def _percent(rate: float | None) -> float | None:
    return None if rate is None else round(100 * rate, 2)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def check_set(config: ExportConfig) -> list[Clip]:
    """Return at most `max_clips` clips of the corpus that fit a window, spread evenly over it."""
    clips, _ = load_clips(
        config.corpus,
        config.split,
        need_text=False,
        language=config.language or "en",
        max_s=WINDOW_S,
        columns=config,
    )
    step = max(1.0, len(clips) / config.max_clips)
    return [clips[int(i * step)] for i in range(min(config.max_clips, len(clips)))]
