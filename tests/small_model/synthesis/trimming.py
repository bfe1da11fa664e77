"""What all engines have in common after synthesis: word ends by energy, and short silences at both ends."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import numpy.typing as npt

from voxray.audio import SAMPLE_RATE, Pcm
from voxray.transcript import Word

FRAME_S = 0.01
_FRAME = int(FRAME_S * SAMPLE_RATE)  # samples
_AUDIBLE_DB = -45.0  # below the loudest frame: under it lie gaps, above it the weakest fricatives
_PAUSE_S = 0.08  # a shorter gap is the closure of a plosive, which belongs to its word
_EDGE_S = (0.05, 0.3)  # silence that stays before and after the speech


def audible(pcm: Pcm) -> npt.NDArray[np.bool_]:
    """Which 10 ms frames hold sound, shape (samples // 160,)."""
    frames = pcm[: len(pcm) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float32)
    power = np.square(frames).mean(axis=1)
    loudest = power.max(initial=0.0)
    quiet: npt.NDArray[np.bool_] = power > max(loudest * 10 ** (_AUDIBLE_DB / 10), 1.0)
    return quiet


def words_from(pcm: Pcm, text: str, starts_s: Sequence[float]) -> tuple[Word, ...]:
    """The tokens of `text`, begun at `starts_s` and ended where the next begins or a pause before it does.

    Empty where there is not one start per token, or where they do not rise.
    """
    tokens = text.split()
    limits_s = [*starts_s[1:], len(pcm) / SAMPLE_RATE]
    if len(tokens) != len(starts_s) or any(a >= b for a, b in zip(starts_s, limits_s, strict=True)):
        return ()
    sound = audible(pcm)
    spans = zip(tokens, starts_s, limits_s, strict=True)
    return tuple(Word(text, start, _end_s(sound, start, limit)) for text, start, limit in spans)


def _end_s(sound: npt.NDArray[np.bool_], start_s: float, limit_s: float) -> float:
    first, last = int(start_s / FRAME_S), int(limit_s / FRAME_S)
    loud = np.flatnonzero(sound[first:last])
    end_s = (first + int(loud[-1]) + 1) * FRAME_S if len(loud) else limit_s
    return limit_s if limit_s - end_s < _PAUSE_S and last < len(sound) else min(max(end_s, start_s), limit_s)


def trim(pcm: Pcm, words: tuple[Word, ...], rng: Random) -> tuple[Pcm, tuple[Word, ...]]:
    """`pcm` with 50 to 300 ms of silence at each end, cut or filled with zeros, and `words` moved with it."""
    lead, tail = (int(rng.uniform(*_EDGE_S) * SAMPLE_RATE) for _ in range(2))
    loud = np.flatnonzero(audible(pcm))
    if len(loud) == 0:
        return pcm[:0], ()
    first, last = int(loud[0]) * _FRAME - lead, int(loud[-1] + 1) * _FRAME + tail
    body = pcm[max(first, 0) : last]
    out = np.pad(body, (max(-first, 0), max(last - len(pcm), 0)))
    return out, _within(words, first / SAMPLE_RATE, len(out) / SAMPLE_RATE)


def _within(words: tuple[Word, ...], shift_s: float, length_s: float) -> tuple[Word, ...]:
    def moved(time_s: float) -> float:
        return min(max(time_s - shift_s, 0.0), length_s)

    return tuple(replace(w, start_s=moved(w.start_s), end_s=moved(w.end_s)) for w in words)
