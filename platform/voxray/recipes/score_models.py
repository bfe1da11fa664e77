"""The models that a score compares: where they are, what they are called, and how each is loaded."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import safe_open

from voxray.audio import WINDOW_S
from voxray.errors import ConfigError
from voxray.speech import MAX_PAUSE_S
from voxray.whisper.ctranslate import CTranslate2Engine, trained_languages
from voxray.whisper.digest import weight_files
from voxray.whisper.engines import Engine
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.models import ctranslate2_folder, hf_folder, is_ctranslate2
from voxray.whisper.tokens import Tokens

EngineName = Literal["auto", "ctranslate2", "transformers", "faster-whisper"]
ComputeType = Literal[
    "default", "auto", "float32", "float16", "bfloat16", "int8", "int8_float32", "int8_float16"
]


@dataclass(frozen=True, slots=True)
class ModelEngine:
    """A model under an engine: the `model` as it was given, its `folder`, and its `name` in the report."""

    model: str
    engine: EngineName
    folder: Path
    name: str

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that the model was trained on."""
        return trained_languages(Tokens.load(self.folder), ModelInfo.load(self.folder))

    @property
    def min_window_s(self) -> float:
        """The smallest window that clips are padded to; faster-whisper knows none but 30 s."""
        return WINDOW_S if self.engine == "faster-whisper" else ModelInfo.load(self.folder).min_window_s

    @property
    def max_pause_s(self) -> float | None:
        """The longest pause within a window; only a model for short windows gains by a bound."""
        return MAX_PAUSE_S if self.min_window_s < WINDOW_S else None

    def load(self, device: str, compute_type: ComputeType) -> Engine:
        """Load the model."""
        if self.engine == "transformers":
            from voxray.whisper.transformers_engine import TransformersEngine  # 5 s of imports

            dtype: Any = "auto" if compute_type == "default" else compute_type
            return TransformersEngine(self.folder, device=device, dtype=dtype, min_window_s=self.min_window_s)
        if self.engine == "faster-whisper":
            from voxray.scoring.faster_whisper_engine import FasterWhisperEngine

            return FasterWhisperEngine(self.folder, device=device, compute_type=compute_type)
        return CTranslate2Engine(self.folder, device=device, compute_type=compute_type)


def find_models(
    models: Sequence[str], engines: Sequence[EngineName], compute_type: ComputeType
) -> list[ModelEngine]:
    """Find each of `models` for its engine; one engine is that of all. A hub model is fetched or converted.

    Raises ConfigError where numbers or types do not fit, or a model is given twice; ModelError as
    `whisper.models` does.
    """
    if len(engines) not in (1, len(models)):
        raise ConfigError(
            f"'engine': expected one, or one for each of {len(models)} models, got {len(engines)}."
        )
    pairs = list(zip(models, engines if len(engines) > 1 else [*engines] * len(models), strict=True))
    for model, engine in pairs:
        if engine == "transformers" and compute_type.startswith("int8"):
            raise ConfigError(
                f"expected a float type for engine=transformers, got compute_type={compute_type}; "
                "leave one out."
            )
        if pairs.count((model, engine)) > 1:
            raise ConfigError(f"'models': expected each once, got {model} twice; leave one out.")
    twice = Counter(models)
    return [
        ModelEngine(
            model,
            engine,
            hf_folder(model) if engine == "transformers" else ctranslate2_folder(model),
            model if twice[model] == 1 else f"{model}, {engine}",
        )
        for model, engine in pairs
    ]


def check_languages(models: Sequence[ModelEngine], spoken: Iterable[str]) -> None:
    """Raise ConfigError where the models do not know the same of the languages that are `spoken`."""
    wanted = set(spoken)
    known = {m.name: wanted & set(m.languages) for m in models}
    (first, expected), *others = known.items()
    for name, languages in others:
        if languages != expected:
            raise ConfigError(
                f"'models': expected models of the same languages, got {first} for {_listed(expected)} and "
                f"{name} for {_listed(languages)} of the corpus's; choose others, or set language."
            )


def _listed(languages: Iterable[str]) -> str:
    return ", ".join(sorted(languages)) or "none"


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
