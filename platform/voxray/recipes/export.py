"""A trained model in the form that serves, checked against its source before it counts."""

import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from voxray import job
from voxray.audio import WINDOW_S
from voxray.config import Config
from voxray.corpora.sources import load_clips
from voxray.corpora.store import Clip
from voxray.text import NormaliserName, normaliser
from voxray.whisper.export import TOLERANCE_WER, Quantization, export
from voxray.whisper.models import hf_folder


class ExportConfig(Config):
    """What to export, how small, and which clips it must still transcribe."""

    model: str = "tiny.en"  # or a Hugging Face folder, or a hub name
    out: Path
    quantization: Quantization = "int8"
    corpus: str = "builtin"  # what it is checked on: an audio folder or a .jsonl manifest, best with texts
    split: str | None = "test"
    language: str | None = None  # null: the clip's own, else English
    normaliser: NormaliserName = "auto"
    max_clips: int = Field(default=40, ge=1)
    tolerance: float = Field(
        default=100 * TOLERANCE_WER, ge=0
    )  # points of WER; without texts, per cent of the source's words
    device: Literal["auto", "cpu", "cuda"] = "auto"
    overwrite: bool = False


def run(config: ExportConfig) -> dict[str, Any]:
    """Export to `config.out`, which serves as it is; what the JSON line says, WER in per cent.

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
        tolerance_wer=config.tolerance / 100,
        normalise=normaliser(config.language or clips[0].language, config.normaliser),
        device=config.device,
    )
    return {
        "path": str(done.path),
        "quantization": done.quantization,
        "bytes": done.bytes,
        "min_window_s": done.min_window_s,
        "wer_to_source": round(100 * done.wer_to_source, 2),
        "clips": len(clips),
        "windows": {f"{window:g}": round(100 * wer, 2) for window, wer in sorted(done.windows.items())},
    }


def check_set(config: ExportConfig) -> list[Clip]:
    """At most `max_clips` clips of the corpus that fit a window, spread evenly over it."""
    clips, _ = load_clips(
        config.corpus, config.split, need_text=False, language=config.language or "en", max_s=WINDOW_S
    )
    step = max(1.0, len(clips) / config.max_clips)
    return [clips[int(i * step)] for i in range(min(config.max_clips, len(clips)))]
