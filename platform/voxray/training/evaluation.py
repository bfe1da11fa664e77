"""Word error rate during training: by generation with the exported model, never by loss."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from voxray.config import Config
from voxray.corpora.store import Clip
from voxray.text import ErrorCounts, NormaliserName, error_counts
from voxray.whisper.checkpoint import save_model
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.export import convert
from voxray.whisper.model_info import ModelInfo


class EvaluationOptions(Config):
    """When a model in training is evaluated, and when that ends the run."""

    normaliser: NormaliserName = "auto"
    """Normaliser of texts before they are compared; auto goes by the language of the clip."""
    evaluate_every: int = Field(default=200, ge=1)
    """Steps from one evaluation on the dev clips to the next; each also writes a checkpoint."""
    report_every: int = Field(default=10, ge=1)
    """Steps from one line of progress to the next."""
    patience: int = Field(default=0, ge=0)
    """Evaluations without a lower WER that end the run; 0 goes on to max_steps."""


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Scores models on `clips`: pooled WER in per cent (CER in languages written without spaces)."""

    clips: Sequence[Clip]
    smallest_window_s: float
    normaliser: NormaliserName = "auto"
    quantization: str = "int8"
    threads: int = 1

    def __call__(self, model: Any, source: Path, work: Path) -> float:
        """Export `model`, with the tokenizer of `source`, to `work`; remove it and return the score."""
        shutil.rmtree(work, ignore_errors=True)
        folder = save_model(model, work / "hf", source)
        ModelInfo(min_window_s=self.smallest_window_s).save(folder)
        wer = self.score(convert(folder, work / "ctranslate2", self.quantization))
        shutil.rmtree(work, ignore_errors=True)
        return wer

    def score(self, folder: Path) -> float:
        """Return the score of a CTranslate2 folder."""
        engine = CTranslate2Engine(folder, threads=self.threads)
        languages = [c.language or None for c in self.clips]
        hypotheses = engine.transcribe([c.pcm for c in self.clips], DecodingOptions(), languages)
        pairs = zip(self.clips, hypotheses, strict=True)
        counts = [
            error_counts(clip.text, hypothesis.text, clip.text_language or None, self.normaliser)
            for clip, hypothesis in pairs
        ]
        return round(100 * sum(counts, ErrorCounts()).rate, 3)
