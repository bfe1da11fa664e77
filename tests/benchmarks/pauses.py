"""Recordings of ../shared/data with and without a pause in the middle, to find out when an utterance ends.

halves           prompts with a pause of 0.3 to 1.2 s between two words near the middle
joined           two prompts with such a pause between them: each may be an utterance by itself
whole            prompts as they were recorded
digits           strings of digits as they were recorded: speech without sentences
digits-halves    with a pause in the middle

The same name is always the same recording.
"""

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.benchmarks.recordings import SHARED

from voxray.audio import SAMPLE_RATE, Pcm, decode
from voxray.transcript import Word

SUITES = ("halves", "joined", "whole", "digits", "digits-halves")
SPEAKERS = ("george", "jackson", "lucas", "nicolas")
CHOSEN = 51  # prompts on which the rule of `end_of_turn` was chosen
PAUSE_S, BEFORE_S, AFTER_S = (0.3, 1.2), 0.3, 2.0
NOISE = 4.0  # standard deviation, -78 dBFS

FindWords = Callable[[Pcm], Sequence[Word]]


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording of a suite. `files`: two where they are joined."""

    suite: str
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Its name within the suite."""
        return self.files[0].stem

    def pcm(self, find_words: FindWords) -> Pcm | None:
        """Return its audio, with silence around it; None where it has too few words for a pause."""
        rng = np.random.default_rng(zlib.crc32(f"{self.suite}/{self.name}".encode()))
        parts = [trimmed(decode(file)) for file in self.files]
        if self.suite.endswith("halves"):
            cut = middle(parts[0], find_words(parts[0]), rng)
            if cut is None:
                return None
            parts = [parts[0][:cut], parts[0][cut:]]
        return spaced(parts, rng)


def recordings(suite: str, *, chosen: bool = False) -> list[Recording]:
    """Return a suite in a fixed order, of the prompts on which the rule was `chosen` or of all others."""
    if suite.startswith("digits"):
        return [Recording(suite, (file,)) for file in digits()]
    files = prompts(chosen=chosen)
    if suite == "joined":
        return [Recording(suite, pair) for pair in zip(files, files[1:] + files[:1], strict=True)]
    return [Recording(suite, (file,)) for file in files]


def prompts(*, chosen: bool) -> list[Path]:
    """Return the prompts on which the rule was chosen, or all others of 3 to 40 words."""
    counts = {f.with_suffix(".flac"): len(f.read_text().split()) for f in files_of("prompts", "*.txt")}
    first = [f for f, words in counts.items() if 5 <= words <= 20]
    random.Random(7).shuffle(first)
    if chosen:
        return first[:CHOSEN]
    others = [f for f, words in counts.items() if 3 <= words <= 40 and f not in first[:CHOSEN]]
    random.Random(11).shuffle(others)
    return others


def digits() -> list[Path]:
    """Return the last 40 strings of digits of each speaker, one of each after another."""
    spoken = [files_of(f"digits/{speaker}", "*.flac")[-40:] for speaker in SPEAKERS]
    return [file for files in zip(*spoken, strict=True) for file in files]


def files_of(folder: str, pattern: str) -> list[Path]:
    """Return files of the shared recordings, which are not part of the repository."""
    files = sorted((SHARED / folder).glob(pattern))
    if not files:
        raise SystemExit(
            f"expected {pattern} in {SHARED / folder}, got none; they are not in the repository."
        )
    return files


def middle(pcm: Pcm, words: Sequence[Word], rng: np.random.Generator) -> int | None:
    """Return a sample between two words, by chance, in the middle half of `pcm`; None where there is none."""
    between = [k for k in range(1, len(words)) if 0.25 <= k / len(words) <= 0.75]
    if not between:
        return None
    k = int(rng.choice(between))
    return quietest(pcm, words[k - 1].end_s - 0.06, words[k].start_s + 0.06)


def quietest(pcm: Pcm, from_s: float, to_s: float) -> int:
    """Return the middle of the quietest 20 ms, as a sample."""
    width, step = round(0.02 * SAMPLE_RATE), round(0.01 * SAMPLE_RATE)
    first = min(max(0, round(from_s * SAMPLE_RATE)), len(pcm) - width)
    starts = range(first, max(first, round(to_s * SAMPLE_RATE)) + 1, step)
    best = min(starts, key=lambda at: float(np.abs(pcm[at : at + width].astype(float)).sum()))
    return best + width // 2


def trimmed(pcm: Pcm) -> Pcm:
    """Return `pcm` without what is before and after its speech."""
    level = np.abs(pcm.astype(float))
    (loud,) = np.nonzero(level > 0.02 * level.max())
    return pcm[loud[0] : loud[-1] + 1]


def spaced(parts: Sequence[Pcm], rng: np.random.Generator) -> Pcm:
    """Return `parts` with pauses between them, and silence before and after."""
    joined = [noise(BEFORE_S, rng), parts[0]]
    for part in parts[1:]:
        joined += [noise(float(rng.uniform(*PAUSE_S)), rng), part]
    return np.concatenate([*joined, noise(AFTER_S, rng)])


def noise(seconds: float, rng: np.random.Generator) -> Pcm:
    """Return the noise of a quiet microphone."""
    return rng.normal(0, NOISE, round(seconds * SAMPLE_RATE)).astype(np.int16)
