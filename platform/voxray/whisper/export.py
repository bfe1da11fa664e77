"""From a Hugging Face folder to the form that is served: CTranslate2, GGML, or transformers' own.

    source (Hugging Face) -> with_generation_config copy -> one of `export_formats` -> checked -> out

`convert` only converts, to CTranslate2; `export` also checks the result against the source and measures the
smallest window it may serve on.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, WhisperConfig, WhisperFeatureExtractor

from voxray import __version__
from voxray.audio import Pcm
from voxray.errors import ExportError, ModelError
from voxray.files import atomic_directory
from voxray.text import NormaliserName
from voxray.whisper.checkpoint import parameters
from voxray.whisper.comparison import (
    WindowedEngine,
    check_same,
    disagreement,
    rise,
    smallest_window,
    transcribe_on,
    window_rises,
)
from voxray.whisper.digest import digest
from voxray.whisper.engines import DecodingOptions, DecodingResult
from voxray.whisper.export_formats import (
    QUANTIZATIONS,
    WRITERS,
    ExportSource,
    Format,
    Quantization,
    write_ctranslate2,
)
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.tokens import Tokens
from voxray.whisper.transformers_engine import TransformersEngine, usable_heads

TOLERANCE = 0.05  # of the source's own words or characters


@dataclass(frozen=True, slots=True)
class Exported:
    """An export, and what `voxray.json` in `path` says of it.

    `info.wer_to_source` takes the source's text as the reference (`disagreement`); `info.windows` has, for
    each window that clips of the check set fit into, how much worse the export is on it (`rise`). Neither is
    there where nothing could run the export.
    """

    path: Path
    info: ModelInfo
    bytes: int


@dataclass(frozen=True, slots=True)
class CheckSet:
    """Clips that an export is checked on, and how.

    `languages` are the clips' own, else what the source detects, `references` their texts where those are
    known; `tolerance` is what the export may lose (`rise`).
    """

    clips: Sequence[Pcm]
    languages: Sequence[str | None] = ()
    references: Sequence[str] = ()
    tolerance: float = TOLERANCE
    normaliser: NormaliserName = "auto"


Describe = Callable[[Path, ModelInfo, Sequence[DecodingResult]], ModelInfo]
"""Takes the folder of a checked export, what is known of it, and its results on the check set (none where it
was not run). It may write to the folder, and returns what `voxray.json` is to say."""


def convert(source: Path, out: Path, quantization: str = "int8") -> Path:
    """Convert `source` to CTranslate2 at `out`, which appears whole or not at all. Nothing is checked."""
    with with_generation_config(source) as whole, atomic_directory(out) as part:
        write_ctranslate2(source, whole, part, quantization)
    return out


def export(
    source: Path,
    out: Path,
    check: CheckSet,
    *,
    format: Format = "ctranslate2",
    quantization: Quantization | None = None,
    device: str = "auto",
    describe: Describe = lambda folder, info, results: info,
) -> Exported:
    """Write `source` to `out`, which appears only if it transcribes `check` as `source` does.

    The source is run through transformers in float32, on the windows that it was trained for (its
    `voxray.json`; else 30 s). Raises ExportError where the export is worse than its source, in any language,
    by more than the tolerance, or, in float32, where one token differs.
    """
    if not check.clips:
        raise ExportError(f"{source}: expected clips to check the export with, got none.")
    quantization = quantization or QUANTIZATIONS[format][0]
    trained = ModelInfo.load(source)
    with with_generation_config(source) as whole, atomic_directory(out) as part:
        reference = TransformersEngine(
            whole, device=device, dtype="float32", min_window_s=trained.min_window_s
        )
        engine = WRITERS[format](ExportSource(source, whole, reference.model, device), part, quantization)
        info = ModelInfo(
            min_window_s=trained.min_window_s,
            languages=trained.languages or tuple(sorted(reference.tokens.languages)) or ("en",),
            source=digest(source),
            format=format,
            quantization=quantization,
            parameters=parameters(reference.model),
            voxray=__version__,
        )
        results: Sequence[DecodingResult] = ()
        if engine:
            expected = reference.transcribe(check.clips, DecodingOptions(), check.languages)
            results, measured = _checked(source, engine, expected, check, info)
            info = info.model_copy(update=measured)
        info = describe(part, info, results)
        info.save(part)
    return Exported(out, info, sum(f.stat().st_size for f in out.iterdir()))


def _checked(
    source: Path,
    engine: WindowedEngine,
    expected: Sequence[DecodingResult],
    check: CheckSet,
    info: ModelInfo,
) -> tuple[Sequence[DecodingResult], dict[str, Any]]:
    """Return what `engine` says on the check set, and the values of `info` that follow from it."""
    trained_s, references, normaliser = info.min_window_s, check.references, check.normaliser
    results = transcribe_on(engine, check.clips, [r.language for r in expected], trained_s)
    worse = rise(expected, results, references, normaliser)
    check_same(source, expected, results, worse, 0.0 if info.quantization == "float32" else check.tolerance)
    windows = window_rises(engine, check.clips, results, references, normaliser, trained_s)
    return results, {
        "min_window_s": smallest_window(windows, check.tolerance),
        "wer_to_source": disagreement(expected, results, normaliser),
        "windows": {f"{w:g}": v for w, v in sorted(windows.items())},
    }


@contextmanager
def with_generation_config(source: Path) -> Iterator[Path]:
    """Give a temporary folder with links to `source`, and with what a Hugging Face folder may lack.

    It has a fast tokenizer, a preprocessor, and a generation config whose `lang_to_id`, `task_to_id` and
    `alignment_heads` name only what the model has.
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
    """Return `given` completed, without alignment heads in decoder layers that the model lacks.

    An English-only model has no tables of languages and tasks: where there is one, even an empty one,
    transformers detects a language and begins the text with a token for it.
    """
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
        "alignment_heads": usable_heads(
            given.get("alignment_heads") or [], config.decoder_layers, config.decoder_attention_heads
        ),
    }
    tables = {
        "lang_to_id": {f"<|{code}|>": i for code, i in tokens.languages.items()},
        "task_to_id": dict(tokens.tasks),
    }
    kept = {k: v for k, v in given.items() if v is not None and k not in tables}
    return {**defaults, **kept, **named, **(tables if tokens.multilingual else {})}


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text())) if file.is_file() else {}
