"""Word error rate while training goes on: by generation, on the form that serves, never by loss."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxray.corpora.store import Clip
from voxray.text import ErrorCounts, NormaliserName, by_character, character_errors, normaliser, word_errors
from voxray.whisper.checkpoint import save_model
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.export import convert
from voxray.whisper.model_info import ModelInfo


@dataclass(frozen=True, slots=True)
class Judge:
    """How a model is scored on `clips`: pooled WER in percent (CER where words are not spaced)."""

    clips: Sequence[Clip]
    smallest_window_s: float
    normaliser: NormaliserName = "auto"
    quantization: str = "int8"
    threads: int = 1

    def __call__(self, model: Any, source: Path, work: Path) -> float:
        """Export `model` (tokenizer of `source`) under `work` and score it; `work` is emptied."""
        shutil.rmtree(work, ignore_errors=True)
        folder = save_model(model, work / "hf", source)
        ModelInfo(min_window_s=self.smallest_window_s).save(folder)
        wer = self.score(convert(folder, work / "ctranslate2", self.quantization))
        shutil.rmtree(work, ignore_errors=True)
        return wer

    def score(self, folder: Path) -> float:
        """The same for a CTranslate2 folder."""
        engine = CTranslate2Engine(folder, threads=self.threads)
        languages = [c.language or None for c in self.clips]
        heard = engine.transcribe([c.pcm for c in self.clips], DecodingOptions(), languages)
        pairs = zip(self.clips, heard, strict=True)
        counts = [self._errors(clip, hypothesis.text) for clip, hypothesis in pairs]
        return round(100 * sum(counts, ErrorCounts()).rate, 3)

    def _errors(self, clip: Clip, text: str) -> ErrorCounts:
        errors = character_errors if by_character(clip.language) else word_errors
        return errors(clip.text, text, normaliser(clip.language or None, self.normaliser))
