"""From a Hugging Face folder to the form that is served: a CTranslate2 folder that faster-whisper opens.

    source (Hugging Face) -> with_generation_config copy -> CTranslate2 -> checked against the source -> out

`convert` only converts; `export` also checks the result and measures the smallest window it may serve on.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ctranslate2
from ctranslate2.converters import TransformersConverter
from transformers import AutoTokenizer, WhisperConfig, WhisperFeatureExtractor

from voxray import __version__
from voxray.audio import Pcm
from voxray.errors import ExportError, ModelError
from voxray.files import atomic_directory
from voxray.text import NormaliserName
from voxray.whisper.checkpoint import parameters
from voxray.whisper.comparison import (
    check_same,
    disagreement,
    rise,
    smallest_window,
    transcribe_on,
    window_rises,
)
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.digest import digest
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.model_info import FILE_NAME, ModelInfo
from voxray.whisper.tokens import Tokens
from voxray.whisper.transformers_engine import TransformersEngine, usable_heads

Quantization = Literal["float32", "float16", "int8", "int8_float16", "bfloat16"]

COMPANIONS = ("tokenizer.json", "preprocessor_config.json", "generation_config.json", FILE_NAME)
TOLERANCE = 0.05  # of the source's own words or characters
# What a CPU computes in, where it lacks the arithmetic.
ON_CPU = {"float16": "float32", "bfloat16": "float32", "int8_float16": "int8"}


@dataclass(frozen=True, slots=True)
class Exported:
    """A checked export, and what `voxray.json` in `path` says of it.

    `info.wer_to_source` takes the source's text as the reference (`disagreement`); `info.windows` has, for
    each window that clips of the check set fit into, how much worse the export is on it (`rise`).
    """

    path: Path
    info: ModelInfo
    bytes: int


def convert(source: Path, out: Path, quantization: str = "int8") -> Path:
    """Convert `source` to CTranslate2 at `out`, which appears whole or not at all. Nothing is checked."""
    with with_generation_config(source) as whole, atomic_directory(out) as part:
        _convert(source, whole, part, quantization)
    return out


def export(
    source: Path,
    out: Path,
    quantization: Quantization = "int8",
    check: Sequence[Pcm] = (),
    *,
    languages: Sequence[str | None] = (),
    references: Sequence[str] = (),
    tolerance: float = TOLERANCE,
    normaliser: NormaliserName = "auto",
    device: str = "auto",
) -> Exported:
    """Convert `source` to `out`, which appears only if it transcribes `check` as `source` does.

    The source is run through transformers in float32, on the windows that it was trained for (its
    `voxray.json`; else 30 s); `languages` are the clips' own, else what the source detects, `references`
    their texts where those are known. Raises ExportError where the export is worse than its source, in any
    language, by more than `tolerance` (`rise`), or, in float32, where one token differs.
    """
    if not check:
        raise ExportError(f"{source}: expected clips to check the export with, got none.")
    trained = ModelInfo.load(source)
    trained_s = trained.min_window_s
    with with_generation_config(source) as whole, atomic_directory(out) as part:
        _convert(source, whole, part, quantization)
        reference = TransformersEngine(whole, device=device, dtype="float32", min_window_s=trained_s)
        expected = reference.transcribe(check, DecodingOptions(), languages)
        engine = CTranslate2Engine(part, device=device, compute_type=_compute_type(quantization, device))
        results = transcribe_on(engine, check, [r.language for r in expected], trained_s)
        worse = rise(expected, results, references, normaliser)
        check_same(source, expected, results, worse, 0.0 if quantization == "float32" else tolerance)
        windows = window_rises(engine, check, results, references, normaliser, trained_s)
        info = ModelInfo(
            min_window_s=smallest_window(windows, tolerance),
            languages=trained.languages or tuple(sorted(reference.tokens.languages)) or ("en",),
            source=digest(source),
            quantization=quantization,
            parameters=parameters(reference.model),
            wer_to_source=disagreement(expected, results, normaliser),
            windows={f"{w:g}": v for w, v in sorted(windows.items())},
            voxray=__version__,
        )
        info.save(part)
    return Exported(out, info, sum(f.stat().st_size for f in out.iterdir()))


def _convert(source: Path, whole: Path, part: Path, quantization: str) -> None:
    companions = [name for name in COMPANIONS if (whole / name).is_file()]
    try:
        converter = TransformersConverter(str(whole), copy_files=companions)
        converter.convert(str(part), quantization=quantization, force=True)
    except (ValueError, OSError, RuntimeError) as e:
        if isinstance(e, OSError) and e.errno:  # the disk, not the model
            raise
        reason = (str(e) or type(e).__name__).splitlines()[0].replace(str(whole), str(source))
        raise ExportError(f"{source}: expected a Whisper model that CTranslate2 can convert; {reason}") from e


def _compute_type(quantization: str, device: str) -> str:
    on_cuda = device == "cuda" or (device == "auto" and ctranslate2.get_cuda_device_count())
    return quantization if on_cuda else ON_CPU.get(quantization, quantization)


@contextmanager
def with_generation_config(source: Path) -> Iterator[Path]:
    """Give a temporary folder with links to `source`, and with what a Hugging Face folder may lack.

    It has a fast tokenizer, a preprocessor, and a generation config with `lang_to_id`, `task_to_id` and
    `alignment_heads` that name only what the model has.
    """
    with tempfile.TemporaryDirectory(prefix="voxray-export-") as folder:
        whole = Path(folder)
        for file in source.iterdir():
            if file.is_file() and file.name != "generation_config.json":
                (whole / file.name).symlink_to(file.resolve())
        config = WhisperConfig.from_pretrained(str(source))
        if not (whole / "preprocessor_config.json").exists():
            preprocessor: Any = WhisperFeatureExtractor
            preprocessor(feature_size=config.num_mel_bins).save_pretrained(whole)
        if not (whole / "tokenizer.json").exists():
            _fast_tokenizer(source, whole)
        values = generation_values(_read(source / "generation_config.json"), Tokens.load(whole), config)
        (whole / "generation_config.json").write_text(json.dumps(values, indent=1))
        yield whole


def _fast_tokenizer(source: Path, whole: Path) -> None:
    if not (source / "vocab.json").is_file():  # transformers would make an empty one silently
        raise ModelError(f"{source}: expected a tokenizer (tokenizer.json or vocab.json), got none.")
    tokenizer = AutoTokenizer.from_pretrained(str(source))
    tokenizer.backend_tokenizer.save(str(whole / "tokenizer.json"))


def generation_values(given: dict[str, Any], tokens: Tokens, config: Any) -> dict[str, Any]:
    """Return `given` completed, without alignment heads in decoder layers that the model lacks."""
    defaults = {
        "decoder_start_token_id": tokens.start,
        "bos_token_id": tokens.end,
        "eos_token_id": tokens.end,
        "pad_token_id": tokens.end,
        "max_length": config.max_target_positions,
        "suppress_tokens": [],
        "begin_suppress_tokens": [],
    }
    named = {
        "is_multilingual": tokens.multilingual,
        "no_timestamps_token_id": tokens.no_timestamps,
        "lang_to_id": {f"<|{code}|>": i for code, i in tokens.languages.items()},
        "task_to_id": dict(tokens.tasks),
        "alignment_heads": usable_heads(
            given.get("alignment_heads") or [], config.decoder_layers, config.decoder_attention_heads
        ),
    }
    return {**defaults, **{k: v for k, v in given.items() if v is not None}, **named}


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text())) if file.is_file() else {}
