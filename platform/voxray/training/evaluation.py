"""Word error rate during training: by generation with the exported model, never by loss."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from voxray.config import Config
from voxray.corpora.store import Clip
from voxray.files import atomic_file
from voxray.text import ErrorCounts, NormaliserName, error_counts
from voxray.whisper.checkpoint import save_model
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.export import convert
from voxray.whisper.model_info import ModelInfo

HYPOTHESES = "hypotheses"
Evaluated = Literal["first", "best"]


class EvaluationOptions(Config):
    """When a model in training is evaluated, and when that ends the run."""

    normaliser: NormaliserName = "auto"
    """Normaliser of texts before they are compared; auto goes by the language of the clip."""
    evaluate_every: int = Field(default=200, ge=1)
    """Steps from one evaluation on the dev clips to the next; each also writes a checkpoint."""
    report_every: int = Field(default=10, ge=1)
    """Steps from one line of progress to the next."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """Checkpoints that are kept: the best by WER, and the last one, which a killed run goes on from."""
    patience: int = Field(default=0, ge=0)
    """Evaluations without a lower WER that end the run; 0 goes on to max_steps."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model's pooled WER in per cent (CER in languages written without spaces), and its texts."""

    wer: float
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluates models on `clips`."""

    clips: Sequence[Clip]
    smallest_window_s: float
    normaliser: NormaliserName = "auto"
    quantization: str = "int8"
    threads: int = 1

    def __call__(self, model: Any, source: Path, work: Path) -> Evaluation:
        """Export `model`, with the tokenizer of `source`, to `work`; remove it and return the evaluation."""
        shutil.rmtree(work, ignore_errors=True)
        folder = save_model(model, work / "hf", source)
        ModelInfo(min_window_s=self.smallest_window_s).save(folder)
        evaluation = self.evaluate(convert(folder, work / "ctranslate2", self.quantization))
        shutil.rmtree(work, ignore_errors=True)
        return evaluation

    def score(self, folder: Path) -> float:
        """Return the WER of a CTranslate2 folder, in per cent."""
        return self.evaluate(folder).wer

    def evaluate(self, folder: Path) -> Evaluation:
        """Return the evaluation of a CTranslate2 folder."""
        engine = CTranslate2Engine(folder, threads=self.threads)
        texts = self._texts(engine)
        counts = [
            error_counts(clip.text, text, clip.text_language or None, self.normaliser)
            for clip, text in zip(self.clips, texts, strict=True)
        ]
        return Evaluation(round(100 * sum(counts, ErrorCounts()).rate, 3), texts)

    def _texts(self, engine: CTranslate2Engine) -> tuple[str, ...]:
        """Return the text of each clip, decoded in the clip's own language and for its own task."""
        texts: dict[int, str] = {}
        for task in dict.fromkeys(clip.task for clip in self.clips):
            chosen = {i: clip for i, clip in enumerate(self.clips) if clip.task == task}
            languages = [clip.language or None for clip in chosen.values()]
            pcms = [clip.pcm for clip in chosen.values()]
            results = engine.transcribe(pcms, DecodingOptions(task=task), languages)
            texts |= {i: result.text for i, result in zip(chosen, results, strict=True)}
        return tuple(texts[i] for i in range(len(self.clips)))


def write_hypotheses(out: Path, which: Evaluated, texts: Sequence[str]) -> None:
    """Write what the first or the best weights of a run transcribed in its dev clips, in their order."""
    (out / HYPOTHESES).mkdir(parents=True, exist_ok=True)
    with atomic_file(out / HYPOTHESES / f"{which}.json") as part:
        part.write_text(json.dumps(list(texts), ensure_ascii=False) + "\n")


def read_hypotheses(out: Path, which: Evaluated) -> list[str]:
    """Return what `write_hypotheses` wrote, no texts where it wrote nothing."""
    file = out / HYPOTHESES / f"{which}.json"
    return list(json.loads(file.read_text())) if file.exists() else []
