"""What an adapted model has forgotten: word error rates beside stock's, on 30 s and on short windows.

    python -m tests.benchmarks.forgetting CORPUS ...      each an audio folder, a manifest or `builtin`

For each corpus and model: WER in per cent, in int8 and greedily, of clips padded to 30 s and to the next
serving window from `--smallest` up; in brackets, repeated 5-grams per 1,000 words where there are any. The
last row counts words in 20 clips of silence and noise.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from voxray.audio import WINDOW_S
from voxray.corpora.sources import load_clips
from voxray.corpora.store import Clip
from voxray.scoring.metrics import score_clip, summarise
from voxray.scoring.windows import SILENCES, invented_words, silences
from voxray.whisper.comparison import transcribe_on
from voxray.whisper.ctranslate import WINDOWS_S, CTranslate2Engine
from voxray.whisper.models import ctranslate2_folder


def main() -> None:
    """Score every model on every corpus, and print a row for each corpus as it is done."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("corpora", nargs="+")
    arguments.add_argument("--models", default="tiny.en@stock,tiny.en", help="names or folders, by commas")
    arguments.add_argument("--splits", default="test", help="splits of each corpus, by commas")
    arguments.add_argument("--smallest", type=float, default=WINDOWS_S[0], help="smallest short window, s")
    arguments.add_argument("--threads", type=int, default=0)
    options = arguments.parse_args()
    models = options.models.split(",")
    engines = [CTranslate2Engine(ctranslate2_folder(m), threads=options.threads) for m in models]
    columns = [(engine, window) for engine in engines for window in (WINDOW_S, options.smallest)]
    table = Table("corpus", "clips", *(f"{m}, {w:g} s" for m in models for w in (WINDOW_S, options.smallest)))
    for corpus in options.corpora:
        clips = [clip for split in options.splits.split(",") for clip in load_clips(corpus, split)[0]]
        row = [Path(corpus).name, str(len(clips)), *(word_errors(*column, clips) for column in columns)]
        print(*row, sep="\t", flush=True)
        table.add_row(*row)
    wordless = silences(np.random.default_rng(0))
    invented = (str(invented_words(engine, wordless, window_s)) for engine, window_s in columns)
    table.add_row("silence and noise", str(SILENCES), *invented)
    Console(width=130).print(table)


def word_errors(engine: CTranslate2Engine, window_s: float, clips: Sequence[Clip]) -> str:
    """Return WER in per cent of `clips` on windows from `window_s` up, and loops if there are any."""
    results = transcribe_on(engine, [c.pcm for c in clips], [c.language or None for c in clips], window_s)
    rows = zip(clips, results, strict=True)
    summary = summarise([score_clip(c.id, c.text, r.text, c.duration_s, c.language) for c, r in rows])
    loops = f" ({summary.repeated_per_1000:.1f})" if summary.repeated_per_1000 else ""
    return f"{100 * summary.wer:.2f}{loops}"


if __name__ == "__main__":
    main()
