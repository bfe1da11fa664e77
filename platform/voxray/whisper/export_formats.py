"""The formats that a model is exported to: how each is written, and what runs it for the check."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import ctranslate2
import torch
from ctranslate2.converters import TransformersConverter

from voxray.errors import ExportError
from voxray.whisper.checkpoint import save_model
from voxray.whisper.comparison import WindowedEngine
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.ggml import file_name, write_ggml
from voxray.whisper.ggml_blocks import MatrixType
from voxray.whisper.model_info import FILE_NAME
from voxray.whisper.openai_checkpoint import read_openai, write_openai
from voxray.whisper.openai_names import MODEL_FILE
from voxray.whisper.tokens import Tokens
from voxray.whisper.transformers_engine import TransformersEngine
from voxray.whisper.whisper_cpp import WhisperCppEngine, has_whisper_cpp

Format = Literal["ctranslate2", "ggml", "transformers", "openai"]
FloatType = Literal["float16", "float32", "bfloat16"]
Quantization = Literal["int8", "float32", "float16", "int8_float16", "bfloat16", "f16", "q8_0", "q5_0"]
QUANTIZATIONS: Mapping[Format, tuple[Quantization, ...]] = {
    "ctranslate2": ("int8", "float32", "float16", "int8_float16", "bfloat16"),
    "ggml": get_args(MatrixType),
    "transformers": get_args(FloatType),
    "openai": ("float16", "float32"),
}
"""The weights' types in each format; the first is the default. whisper.cpp's convolutions take f16 alone."""

COMPANIONS = ("tokenizer.json", "preprocessor_config.json", "generation_config.json", FILE_NAME)
# What a CPU computes in, where it lacks the arithmetic.
ON_CPU = {"float16": "float32", "bfloat16": "float32", "int8_float16": "int8"}


@dataclass(frozen=True, slots=True)
class ExportSource:
    """A model that is exported.

    `folder` is what errors call it, `whole` a complete Hugging Face folder of the same, `model` the same
    loaded in float32, and `device` where the check runs: `cpu`, `cuda` or `auto`.
    """

    folder: Path
    whole: Path
    model: Any
    device: str


def write_ctranslate2(folder: Path, whole: Path, out: Path, quantization: str) -> None:
    """Convert `whole`, which errors call `folder`, to CTranslate2 in `out`. Raises ExportError."""
    companions = [name for name in COMPANIONS if (whole / name).is_file()]
    try:
        converter = TransformersConverter(str(whole), copy_files=companions)
        converter.convert(str(out), quantization=quantization, force=True)
    except (ValueError, OSError, RuntimeError) as e:
        if isinstance(e, OSError) and e.errno:  # the disk, not the model
            raise
        reason = (str(e) or type(e).__name__).splitlines()[0].replace(str(whole), str(folder))
        raise ExportError(f"{folder}: expected a Whisper model that CTranslate2 can convert; {reason}") from e


def _to_ctranslate2(source: ExportSource, out: Path, quantization: str) -> WindowedEngine:
    write_ctranslate2(source.folder, source.whole, out, quantization)
    on_cuda = source.device == "cuda" or (source.device == "auto" and ctranslate2.get_cuda_device_count())
    compute_type = quantization if on_cuda else ON_CPU.get(quantization, quantization)
    return CTranslate2Engine(out, device=source.device, compute_type=compute_type)


def _to_ggml(source: ExportSource, out: Path, quantization: MatrixType) -> WindowedEngine | None:
    file, tokens = out / file_name(quantization), Tokens.load(source.whole)
    state = {name: weights.cpu().numpy() for name, weights in source.model.state_dict().items()}
    write_ggml(file, source.model.config, state, tokens, quantization, str(source.folder))
    return WhisperCppEngine(file, source.whole) if has_whisper_cpp() else None


def _to_transformers(source: ExportSource, out: Path, dtype: FloatType) -> WindowedEngine:
    save_model(source.model, out, source.whole, dtype=getattr(torch, dtype))
    return TransformersEngine(out, device=source.device, dtype="float32")


def _to_openai(source: ExportSource, out: Path, dtype: FloatType) -> WindowedEngine:
    file = out / MODEL_FILE
    write_openai(file, source.model, source.whole, dtype=getattr(torch, dtype))
    with TemporaryDirectory(prefix="voxray-openai-") as folder:
        read = read_openai(file, Path(folder) / "model")
        return TransformersEngine(read, device=source.device, dtype="float32")


WRITERS: Mapping[Format, Callable[[ExportSource, Path, Any], WindowedEngine | None]] = {
    "ctranslate2": _to_ctranslate2,
    "ggml": _to_ggml,
    "transformers": _to_transformers,
    "openai": _to_openai,
}
"""Each writes a model to an empty folder and returns what runs it, or None where nothing here can."""
