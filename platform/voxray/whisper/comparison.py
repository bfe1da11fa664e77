"""How an export is compared with its source: error rates by language, and the windows that it passes on.

Each clip is scored in its own language: by its normaliser, and by characters where the language is written
without spaces. A rate that stands for a set of clips is that of the language it is worst for.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from voxray.audio import WINDOW_S, Pcm, duration_s
from voxray.errors import ExportError
from voxray.text import ErrorCounts, NormaliserName, error_counts
from voxray.whisper.ctranslate import WINDOWS_S
from voxray.whisper.engines import DecodingOptions, DecodingResult


class WindowedEngine(Protocol):
    """An engine that pads clips to windows of at least `min_window_s` seconds."""

    min_window_s: float

    def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None] = ()
    ) -> list[DecodingResult]:
        """Transcribe as `Engine.transcribe`."""
        ...


def error_rates(
    references: Sequence[str],
    results: Sequence[DecodingResult],
    languages: Sequence[str],
    name: NormaliserName = "auto",
) -> dict[str, float]:
    """Return the pooled error rate of the clips in each language (1.0 is 100 %)."""
    counts: dict[str, ErrorCounts] = defaultdict(ErrorCounts)
    for reference, result, language in zip(references, results, languages, strict=True):
        counts[language] += error_counts(reference, result.text, language, name)
    return {language: count.rate for language, count in counts.items()}


def disagreement(
    source: Sequence[DecodingResult], results: Sequence[DecodingResult], name: NormaliserName = "auto"
) -> float:
    """Return the error rate of `results` with the text of `source` as the reference."""
    rates = error_rates([s.text for s in source], results, [s.language for s in source], name)
    return max(rates.values(), default=0.0)


def rise(
    source: Sequence[DecodingResult],
    results: Sequence[DecodingResult],
    references: Sequence[str],
    name: NormaliserName = "auto",
) -> float:
    """Return how much worse `results` are than `source`: the rise in error rate, at least 0.

    Without references every difference counts (`disagreement`). On a model that is still weak the two differ
    much: it errs in many places, and each time in another way.
    """
    if not references:
        return disagreement(source, results, name)
    languages = [s.language for s in source]
    before = error_rates(references, source, languages, name)
    after = error_rates(references, results, languages, name)
    return max(0.0, *(after[language] - before[language] for language in before))


def check_same(
    folder: Path,
    source: Sequence[DecodingResult],
    results: Sequence[DecodingResult],
    worse: float,
    tolerance: float,
) -> None:
    """Raise ExportError if `worse` exceeds `tolerance` or, where that is 0, if one token differs."""
    if worse > tolerance:
        raise ExportError(
            f"{folder}: expected the export within {100 * tolerance:.2f} % error rate of its source on the "
            f"check set, got {100 * worse:.2f} %; choose a finer quantization or raise tolerance."
        )
    changed = [i for i, (a, b) in enumerate(zip(source, results, strict=True)) if a.tokens != b.tokens]
    if tolerance == 0.0 and changed:
        raise ExportError(
            f"{folder}: expected the export to give its source's tokens, got {results[changed[0]].text!r} "
            f"for {source[changed[0]].text!r} in clip {changed[0]}."
        )


def transcribe_on(
    engine: WindowedEngine, clips: Sequence[Pcm], languages: Sequence[str | None], window: float
) -> list[DecodingResult]:
    """Transcribe `clips` padded to at least `window` seconds."""
    smallest_s, engine.min_window_s = engine.min_window_s, window
    try:
        return engine.transcribe(clips, DecodingOptions(), languages)
    finally:
        engine.min_window_s = smallest_s


def window_rises(
    engine: WindowedEngine,
    check: Sequence[Pcm],
    full: Sequence[DecodingResult],
    references: Sequence[str],
    name: NormaliserName = "auto",
    trained_s: float = WINDOW_S,
) -> dict[float, float]:
    """Return, for each window below `trained_s` that clips fit into, how much worse they are than `full`.

    `full` is the result on windows of `trained_s` and more. A model that was trained for short windows fails
    on a short clip in a long one, and is never served so.
    """
    rises = {trained_s: 0.0}
    for window in (w for w in WINDOWS_S if w < trained_s):
        fitting = [i for i, clip in enumerate(check) if duration_s(clip) <= window]
        if fitting:
            on_full = [full[i] for i in fitting]
            clips, languages = [check[i] for i in fitting], [r.language for r in on_full]
            texts = [references[i] for i in fitting] if references else ()
            rises[window] = rise(on_full, transcribe_on(engine, clips, languages, window), texts, name)
    return rises


def smallest_window(rises: dict[float, float], tolerance: float) -> float:
    """Return the smallest measured window that passed together with every larger one that was measured.

    A window that no clip fitted into neither passes by itself nor stands in the way of smaller ones.
    """
    passed = WINDOW_S
    for window in sorted(rises, reverse=True):
        if rises[window] > tolerance:
            break
        passed = window
    return passed
