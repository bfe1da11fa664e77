"""Export a trained model to the form that is served, and check it against its source."""

import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from voxray import job
from voxray.audio import WINDOW_S
from voxray.corpora.columns import Columns
from voxray.corpora.sources import CORPUS_KINDS, load_clips
from voxray.corpora.store import Clip
from voxray.languages import Language
from voxray.text import NormaliserName
from voxray.whisper.export import TOLERANCE, Quantization, export
from voxray.whisper.models import hf_folder


class ExportConfig(Columns):
    """What to export, in which quantization, and the clips it is checked on."""

    model: str = "tiny.en"
    """The model to export: a name such as tiny.en, a Hugging Face folder or a hub name."""
    out: Path
    """Folder of the export."""
    quantization: Quantization = "int8"
    """Type of the weights."""
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


def run(config: ExportConfig) -> dict[str, Any]:
    """Export to `config.out`, which serves as it is. Return what the JSON line says, error rates in per cent.

    Raises ExportError where the export does not transcribe as its source does.
    """
    source = hf_folder(config.model)
    clips = check_set(config)
    out = job.prepare_out(config.out, overwrite=config.overwrite)
    print(f"exporting {source}, checked on {len(clips)} clips", file=sys.stderr, flush=True)
    done = export(
        source,
        out,
        config.quantization,
        [clip.pcm for clip in clips],
        languages=[clip.language for clip in clips],
        references=[clip.text for clip in clips] if all(clip.text for clip in clips) else (),
        tolerance=config.tolerance / 100,
        normaliser=config.normaliser,
        device=config.device,
    )
    return {
        "path": str(done.path),
        "quantization": done.info.quantization,
        "bytes": done.bytes,
        "min_window_s": done.info.min_window_s,
        "wer_to_source": round(100 * (done.info.wer_to_source or 0.0), 2),
        "clips": len(clips),
        "windows": {window: round(100 * rate, 2) for window, rate in done.info.windows.items()},
    }


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
