"""From a Hugging Face folder to the form that serves: a CTranslate2 folder that faster-whisper opens.

    source (Hugging Face) -> with_generation_config copy -> CTranslate2 -> checked against the source -> out

`convert` only converts; `export` also checks the result and measures the smallest window it may serve on.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Literal

import ctranslate2
from ctranslate2.converters import TransformersConverter
from transformers import AutoTokenizer, WhisperConfig, WhisperFeatureExtractor

from voxray import __version__
from voxray.audio import WINDOW_S, Pcm, duration_s
from voxray.errors import ExportError, ModelError
from voxray.text import ErrorCounts, Normaliser, english, word_errors
from voxray.whisper.checkpoint import parameters
from voxray.whisper.ctranslate import WINDOWS_S, CTranslate2Engine, min_window_s
from voxray.whisper.engines import DecodingOptions, DecodingResult
from voxray.whisper.folders import atomic_directory
from voxray.whisper.models import digest
from voxray.whisper.tokens import Tokens
from voxray.whisper.transformers_engine import TransformersEngine, usable_heads

Quantization = Literal["float32", "float16", "int8", "int8_float16", "bfloat16"]

COMPANIONS = ("tokenizer.json", "preprocessor_config.json", "generation_config.json", "voxray.json")
TOLERANCE_WER = 0.05  # of the source's own words
# What a CPU computes in where it has no such arithmetic.
ON_CPU = {"float16": "float32", "bfloat16": "float32", "int8_float16": "int8"}


@dataclass(frozen=True, slots=True)
class Exported:
    """A checked export.

    `wer_to_source` takes the source's words as the reference; `windows` has, for each window that clips of
    the check set fit into, how much worse the export is on it than on 30 s (`worse_by`).
    """

    path: Path
    quantization: Quantization
    min_window_s: float
    wer_to_source: float
    bytes: int
    windows: dict[float, float]


def convert(source: Path, out: Path, quantization: str = "int8") -> Path:
    """Convert `source` to CTranslate2 at `out`, which appears whole or not at all, unchecked."""
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
    tolerance_wer: float = TOLERANCE_WER,
    normalise: Normaliser = english,
    device: str = "auto",
) -> Exported:
    """Convert `source` to `out`, which appears only if it transcribes `check` as `source` does.

    The source is heard through transformers in float32, on the windows that it was trained for (its
    `voxray.json`; else 30 s); `languages` are the clips' own, else what the source detects, `references`
    their texts where those are known. Raises ExportError where the export is worse than its source by more
    than `tolerance_wer` (`worse_by`), or, in float32, where one token differs.
    """
    if not check:
        raise ExportError(f"{source}: expected clips to check the export with, and there are none.")
    with with_generation_config(source) as whole, atomic_directory(out) as part:
        _convert(source, whole, part, quantization)
        trained_s = min_window_s(source)
        oracle = TransformersEngine(whole, device=device, dtype="float32", min_window_s=trained_s)
        said = oracle.transcribe(check, DecodingOptions(), languages)
        spoken = [h.language for h in said]
        engine = CTranslate2Engine(part, device=device, compute_type=_compute_type(quantization, device))
        heard = heard_on(engine, check, spoken, trained_s)
        worse = worse_by(said, heard, references, normalise)
        _accept(source, said, heard, worse, 0.0 if quantization == "float32" else tolerance_wer)
        windows = window_wers(engine, check, heard, references, normalise, trained_s)
        wer = wer_between([h.text for h in said], heard, normalise)
        smallest_s = smallest_window(windows, tolerance_wer)
        _describe(part, source, oracle, quantization, smallest_s, windows, wer)
    size = sum(f.stat().st_size for f in out.iterdir())
    return Exported(out, quantization, smallest_s, wer, size, windows)


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
    """A folder, while the block lasts, with links to `source` and what a Hugging Face folder may lack.

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
    if not (source / "vocab.json").is_file():  # transformers would make an empty one without a word
        raise ModelError(f"{source}: expected a tokenizer (tokenizer.json or vocab.json), and there is none.")
    tokenizer = AutoTokenizer.from_pretrained(str(source))
    tokenizer.backend_tokenizer.save(str(whole / "tokenizer.json"))


def generation_values(given: dict[str, Any], tokens: Tokens, config: Any) -> dict[str, Any]:
    """`given` as a generation config that lacks nothing and names no decoder layer that is not there."""
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


def heard_on(
    engine: CTranslate2Engine, clips: Sequence[Pcm], languages: Sequence[str | None], window: float
) -> list[DecodingResult]:
    """What `engine` hears in `clips` padded to at least `window` seconds."""
    smallest_s, engine.min_window_s = engine.min_window_s, window
    try:
        return engine.transcribe(clips, DecodingOptions(), languages)
    finally:
        engine.min_window_s = smallest_s


def wer_between(references: Sequence[str], heard: Sequence[DecodingResult], normalise: Normaliser) -> float:
    """Pooled WER of `heard`."""
    counts = [word_errors(text, h.text, normalise) for text, h in zip(references, heard, strict=True)]
    return reduce(add, counts, ErrorCounts()).rate


def worse_by(
    said: Sequence[DecodingResult],
    heard: Sequence[DecodingResult],
    references: Sequence[str],
    normalise: Normaliser,
) -> float:
    """How much worse `heard` is than `said`: the rise in WER where there are references, at least 0.

    Without references every difference counts: the WER of `heard` with `said` as the reference. On a model
    that is still weak the two differ much: it errs in many places, and each time in another way.
    """
    if not references:
        return wer_between([h.text for h in said], heard, normalise)
    return max(0.0, wer_between(references, heard, normalise) - wer_between(references, said, normalise))


def _accept(
    source: Path,
    said: Sequence[DecodingResult],
    heard: Sequence[DecodingResult],
    worse: float,
    tolerance: float,
) -> None:
    if worse > tolerance:
        raise ExportError(
            f"{source}: expected the export within {100 * tolerance:.2f} % WER of its source on the check "
            f"set, and it is {100 * worse:.2f} % away; choose a finer quantization or raise tolerance."
        )
    changed = [i for i, (a, b) in enumerate(zip(said, heard, strict=True)) if a.tokens != b.tokens]
    if tolerance == 0.0 and changed:
        raise ExportError(
            f"{source}: expected the export to say its source's tokens, and clip {changed[0]} has "
            f"{heard[changed[0]].text!r} for {said[changed[0]].text!r}."
        )


def window_wers(
    engine: CTranslate2Engine,
    check: Sequence[Pcm],
    full: Sequence[DecodingResult],
    references: Sequence[str],
    normalise: Normaliser,
    trained_s: float = WINDOW_S,
) -> dict[float, float]:
    """For each window below `trained_s` that clips fit into, how much worse they are on it than `full`.

    `full` is what is heard on windows of `trained_s` and more. A model that was trained for short windows
    fails on a short clip in a long one, and is never served so.
    """
    wers = {trained_s: 0.0}
    for window in (w for w in WINDOWS_S if w < trained_s):
        fitting = [i for i, clip in enumerate(check) if duration_s(clip) <= window]
        if fitting:
            on_full = [full[i] for i in fitting]
            spoken = [h.language for h in on_full]
            heard = heard_on(engine, [check[i] for i in fitting], spoken, window)
            texts = [references[i] for i in fitting] if references else ()
            wers[window] = worse_by(on_full, heard, texts, normalise)
    return wers


def smallest_window(wers: dict[float, float], tolerance: float) -> float:
    """The smallest measured window that passed together with every larger one that was measured.

    A window that nothing fitted into neither passes by itself nor stands in the way of smaller ones.
    """
    passed = WINDOW_S
    for window in sorted(wers, reverse=True):
        if wers[window] > tolerance:
            break
        passed = window
    return passed


def _describe(
    part: Path,
    source: Path,
    oracle: TransformersEngine,
    quantization: str,
    smallest_s: float,
    windows: dict[float, float],
    wer: float,
) -> None:
    known = sorted(oracle.tokens.languages) or ["en"]
    values = {
        "min_window_s": smallest_s,
        "languages": _read(source / "voxray.json").get("languages", known),
        "source": digest(source),
        "quantization": quantization,
        "parameters": parameters(oracle.model),
        "wer_to_source": wer,
        "windows": {f"{w:g}": v for w, v in sorted(windows.items())},
        "voxray": __version__,
    }
    (part / "voxray.json").write_text(json.dumps(values, indent=1) + "\n")


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text())) if file.is_file() else {}
