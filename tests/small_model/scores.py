"""What the small model can do, set by set, through the form that serves."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tests.small_model.variants import cut_at_random, cut_at_word, segment_times, several_in_a_window

from voxray.audio import WINDOW_S, decode
from voxray.corpora.sources import load_clips
from voxray.corpora.store import Clip, ClipStore
from voxray.scoring.windows import silences
from voxray.text import ErrorCounts, basic, word_errors
from voxray.transcribe import transcribe
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions

SEED = 2026
SPOKEN_IN = "en"


def score_all(model: Path, synthetic: Path, digits: Path | None) -> dict[str, float | None]:
    """WER in per cent of each set, under its name; words found in silence as `silence_words`."""
    engine = CTranslate2Engine(model)
    scores: dict[str, float | None] = {}
    for folder in sorted(synthetic.glob("dev-*")):
        scores[folder.name.removeprefix("dev-")] = wer(engine, list(ClipStore([folder])))
    known = list(ClipStore([synthetic / "dev-known"]))
    scores |= _hard(engine, known)
    for speaker, clips in _recorded(digits):
        scores[f"digits_{speaker}"] = wer(engine, clips)
    for file in sorted(digits.glob("*-long.flac")) if digits else []:
        scores[file.stem.replace("-", "_")] = long_wer(engine, file)
    return scores


def wer(engine: CTranslate2Engine, clips: Sequence[Clip], *, timestamps: bool = False) -> float:
    """Pooled WER in per cent, on lower-case words without punctuation."""
    options = DecodingOptions(language=SPOKEN_IN, timestamps=timestamps)
    results = engine.transcribe([c.pcm for c in clips], options)
    counts = (word_errors(c.text, h.text, basic) for c, h in zip(clips, results, strict=True))
    return round(100 * sum(counts, ErrorCounts()).rate, 2)


def long_wer(engine: CTranslate2Engine, file: Path) -> float:
    """WER in per cent of a long recording, cut at its pauses, against the texts in its tsv."""
    with file.with_suffix(".tsv").open() as rows:
        reference = " ".join(text for _, _, text in csv.reader(rows, delimiter="\t"))
    transcript = transcribe(decode(file), engine, DecodingOptions(language=SPOKEN_IN))
    return round(100 * word_errors(reference, transcript.text, basic).rate, 2)


def _hard(engine: CTranslate2Engine, known: Sequence[Clip]) -> dict[str, float | None]:
    rng = np.random.default_rng(SEED)
    timed = [c for c in known if c.words]
    windows = several_in_a_window(known, rng)
    options = DecodingOptions(language=SPOKEN_IN, timestamps=True)
    results = engine.transcribe([w.pcm for w in windows], options)
    times = segment_times(windows, results)
    quiet = engine.transcribe(
        [c.pcm for c in silences(rng, max_s=WINDOW_S)], DecodingOptions(language=SPOKEN_IN)
    )
    return {
        "cut_at_random": wer(engine, [cut_at_random(c, rng) for c in timed]),
        "cut_at_word": wer(engine, [cut_at_word(c, rng) for c in timed]),
        "several_in_a_window": wer(engine, windows, timestamps=True),
        "several_start_error_s": round(times.start_s, 3) if times.matched else None,
        "several_windows_matched": round(times.matched / max(1, times.windows), 3),
        "silence_words": sum(len(result.text.split()) for result in quiet),
    }


def _recorded(digits: Path | None) -> Iterator[tuple[str, list[Clip]]]:
    for folder in sorted(p for p in digits.iterdir() if p.is_dir()) if digits else []:
        clips, _ = load_clips(str(folder), "dev")
        yield folder.name, clips
