"""How often whisper.cpp gives the text of CTranslate2 in float32, and how fast, for each GGML type.

    python -m tests.benchmarks.whisper_cpp CORPUS --model tiny.en@stock --window 30 --split test

Prints the clips whose words differ, then a row for each type: megabytes, clips with the same text, and with
the same words after normalisation, seconds of audio per second of computing, and WER.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.table import Table
from transformers import WhisperConfig

from voxray.corpora.sources import load_clips
from voxray.corpora.store import Clip
from voxray.text import ErrorCounts, error_counts, normaliser
from voxray.whisper.checkpoint import load_model
from voxray.whisper.comparison import WindowedEngine, transcribe_on
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.export import with_generation_config
from voxray.whisper.ggml import file_name, write_ggml
from voxray.whisper.ggml_blocks import MatrixType
from voxray.whisper.models import ctranslate2_folder, hf_folder
from voxray.whisper.tokens import Tokens
from voxray.whisper.whisper_cpp import WhisperCppEngine


def main() -> None:
    """Run CTranslate2 in float32, then whisper.cpp with each type, and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("corpus")
    arguments.add_argument("--model", default="tiny.en@stock")
    arguments.add_argument("--split", default="test")
    arguments.add_argument("--window", type=float, default=30.0, help="smallest window, in seconds")
    options = arguments.parse_args()
    clips, _ = load_clips(options.corpus, options.split, language="en")
    folder = ctranslate2_folder(options.model, "float32")
    engine = CTranslate2Engine(folder, device="cpu", compute_type="float32")
    expected, speed = transcribed(engine, clips, options.window)
    table = Table("", "MB", "same text", "same words", "RTFx", "WER, %")
    table.add_row("CTranslate2 float32", "", "", "", f"{speed:.1f}", word_error_rate(clips, expected))
    with with_generation_config(hf_folder(options.model)) as source, tempfile.TemporaryDirectory() as made:
        for kind in get_args(MatrixType):
            file = written(source, Path(made), kind)
            texts, speed = transcribed(WhisperCppEngine(file, source), clips, options.window)
            agreed = (f"{count} of {len(clips)}" for count in agreement(clips, expected, texts))
            size = f"{file.stat().st_size / 1e6:.1f}"
            wer = word_error_rate(clips, texts)
            table.add_row(f"whisper.cpp {kind}", size, *agreed, f"{speed:.1f}", wer)
    Console(width=100).print(table)


def written(source: Path, folder: Path, kind: MatrixType) -> Path:
    """Write the Hugging Face model `source` to a GGML file in `folder`."""
    state = {name: weights.numpy() for name, weights in load_model(source).state_dict().items()}
    config = WhisperConfig.from_pretrained(str(source))
    write_ggml(folder / file_name(kind), config, state, Tokens.load(source), kind, str(source))
    return folder / file_name(kind)


def transcribed(engine: WindowedEngine, clips: Sequence[Clip], window_s: float) -> tuple[list[str], float]:
    """Return the texts of `clips`, and the seconds of audio per second of computing."""
    transcribe_on(engine, [clips[0].pcm], ["en"], window_s)
    start_s = time.perf_counter()
    results = transcribe_on(engine, [c.pcm for c in clips], ["en"] * len(clips), window_s)
    return [r.text for r in results], sum(c.duration_s for c in clips) / (time.perf_counter() - start_s)


def word_error_rate(clips: Sequence[Clip], texts: Sequence[str]) -> str:
    """Return the pooled WER in per cent."""
    counts = (error_counts(c.text, text, "en", "auto") for c, text in zip(clips, texts, strict=True))
    return f"{100 * sum(counts, ErrorCounts()).rate:.2f}"


def agreement(clips: Sequence[Clip], expected: Sequence[str], texts: Sequence[str]) -> tuple[int, int]:
    """Return how many texts are as expected, and how many after normalisation; prints those that are not."""
    normalise = normaliser("en", "auto")
    pairs = list(zip(clips, expected, texts, strict=True))
    differing = [(clip, a, b) for clip, a, b in pairs if normalise(a) != normalise(b)]
    for clip, a, b in differing:
        print(f"{clip.id}: {a!r} became {b!r}", flush=True)
    return sum(a == b for _, a, b in pairs), len(pairs) - len(differing)


if __name__ == "__main__":
    main()
