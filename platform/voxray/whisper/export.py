"""From a Hugging Face folder to the form that serves: a CTranslate2 folder that faster-whisper opens."""

import shutil
from pathlib import Path

from ctranslate2.converters import TransformersConverter

from voxray.errors import ExportError

COMPANIONS = ("tokenizer.json", "preprocessor_config.json", "generation_config.json", "voxray.json")


def convert(source: Path, out: Path, quantization: str = "int8") -> Path:
    """Convert `source` to CTranslate2 at `out`, which appears whole or not at all."""
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    companions = [name for name in COMPANIONS if (source / name).is_file()]
    try:
        TransformersConverter(str(source), copy_files=companions).convert(
            str(part), quantization=quantization, force=True
        )
    except (ValueError, OSError, RuntimeError) as e:
        shutil.rmtree(part, ignore_errors=True)
        raise ExportError(f"{source}: expected a Whisper model that CTranslate2 can convert; {e}") from e
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    return out
