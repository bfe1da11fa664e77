"""Which model labels, how it is loaded in a worker, and the digest that binds labels to it."""

from hashlib import blake2b
from pathlib import Path
from typing import Literal, Protocol

from voxray.config import Config
from voxray.corpora.labelled import teachers
from voxray.errors import ConfigError
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.digest import digest
from voxray.whisper.engines import DecodingOptions, Engine
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.models import ctranslate2_folder, hf_folder, source_digest

EngineName = Literal["ctranslate2", "transformers"]
FloatType = Literal["auto", "float32", "float16", "bfloat16"]
Dtype = FloatType | Literal["int8", "int8_float16", "int8_float32"]


class EngineSource(Protocol):
    """What loads an engine where it runs; it is pickled for the workers."""

    def load(self) -> Engine:
        """Load the engine; raise ModelError where its model cannot be used."""
        ...

    def digest(self) -> str:
        """Return a text that changes whenever the engine's output could."""
        ...


class TeacherConfig(Config):
    """A model by its name, for one of the engines."""

    name: str = "tiny.en"
    engine: EngineName = "ctranslate2"
    dtype: Dtype = "auto"
    threads: int = 0
    """Threads of one worker; 0 is CTranslate2's choice."""

    def folder(self) -> Path:
        """Return the model's folder on this machine; raise ModelError where there is none."""
        if self.engine == "transformers":
            _float_type(self.dtype)
            return hf_folder(self.name)
        return ctranslate2_folder(self.name, "int8" if self.dtype == "auto" else self.dtype)

    def load(self) -> Engine:
        """Load the engine, as `EngineSource.load`."""
        if self.engine == "transformers":
            from voxray.whisper.transformers_engine import (
                TransformersEngine,  # torch, which CTranslate2 does not need
            )

            folder = self.folder()
            engine: Engine = TransformersEngine(
                folder, dtype=_float_type(self.dtype), min_window_s=ModelInfo.load(folder).min_window_s
            )
            return engine
        compute_type = "default" if self.dtype == "auto" else self.dtype
        return CTranslate2Engine(self.folder(), compute_type=compute_type, threads=self.threads)

    def digest(self) -> str:
        """Return the digest of the weights, with what computes with them."""
        return "-".join((digest(self.folder()), self.engine, self.dtype))


def _float_type(dtype: Dtype) -> FloatType:
    match dtype:
        case "auto" | "float32" | "float16" | "bfloat16":
            return dtype
    raise ConfigError(f"expected a float type for engine=transformers, such as float32, got dtype={dtype}.")


def binding(engine: EngineSource, options: DecodingOptions, *inputs: object) -> str:
    """Return twelve hexadecimal digits that change with the engine, the options, or one of `inputs`."""
    text = "\n".join([engine.digest(), options.model_dump_json(), *map(repr, inputs)])
    return blake2b(text.encode(), digest_size=6).hexdigest()


def check_teacher(labelled: Path, name: str) -> None:
    """Raise ConfigError where the labels in `labelled` say that another model than `name` made them."""
    made_by, own = teachers(labelled), source_digest(name)
    if made_by - {own}:
        raise ConfigError(
            f"{labelled}: expected labels that the teacher {name} made ({own[:12]}), got those of another "
            f"model ({min(made_by - {own})[:12]}); name that one as teacher=, label again, or add "
            "kl_weight=0, which needs no teacher."
        )
