"""New clips from few recordings: those with a pause after every word are cut up and joined anew."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from voxray.audio import SAMPLE_RATE, Pcm, to_float
from voxray.corpora.store import Clip
from voxray.transcript import Word

BLOCK = SAMPLE_RATE // 100  # 10 ms
QUIET = 10**-3.5  # of the clip's mean power: 35 dB below it is a pause


def spoken_words(clip: Clip, shortest_pause_s: float = 0.03) -> list[tuple[str, Pcm]]:
    """Return each word of `clip` with its samples; none where sounds and words differ in number."""
    stretches = _stretches(clip.pcm, shortest_pause_s)
    texts = clip.text.split()
    if len(stretches) != len(texts):
        return []
    return [(text, clip.pcm[start:end]) for text, (start, end) in zip(texts, stretches, strict=True)]


def _stretches(pcm: Pcm, shortest_pause_s: float) -> list[tuple[int, int]]:
    """Return where there is sound, in samples; pauses shorter than `shortest_pause_s` belong to it."""
    count = len(pcm) // BLOCK
    if count == 0:
        return []
    power = np.square(to_float(pcm[: count * BLOCK])).reshape(count, BLOCK).mean(axis=1)
    loud = np.flatnonzero(power > power.mean() * QUIET)
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) > shortest_pause_s * 100) + 1
    return [(int(g[0]) * BLOCK, int(g[-1] + 1) * BLOCK) for g in np.split(loud, breaks)]


def recombined(clips: Sequence[Clip], count: int, longest: int, seed: int) -> Iterator[Clip]:
    """Yield `count` new clips of 1 to `longest` words of one voice each, with pauses of 0.02 to 0.35 s."""
    rng = np.random.default_rng(seed)
    by_voice = sorted(clips, key=_voice)
    voices = [
        (voice, [word for clip in group for word in spoken_words(clip)])
        for voice, group in groupby(by_voice, key=_voice)
    ]
    voices = [(voice, words) for voice, words in voices if words]
    for number in range(count if voices else 0):
        voice, words = voices[number % len(voices)]
        chosen = [words[int(i)] for i in rng.integers(len(words), size=int(rng.integers(1, longest + 1)))]
        yield _joined(f"{voice[0]}-recombined-{seed}-{number:06d}", voice, chosen, rng)


def _voice(clip: Clip) -> tuple[str, str]:
    return clip.speaker, clip.language


def _joined(
    uid: str, voice: tuple[str, str], spoken: Sequence[tuple[str, Pcm]], rng: np.random.Generator
) -> Clip:
    pieces: list[Pcm] = []
    words: list[Word] = []
    at = 0
    for text, pcm in spoken:
        pause = _pause(rng)
        at += len(pause)
        words.append(Word(text, at / SAMPLE_RATE, (at + len(pcm)) / SAMPLE_RATE))
        at += len(pcm)
        pieces += [pause, pcm]
    samples = np.concatenate([*pieces, _pause(rng)])
    return Clip(uid, samples, " ".join(text for text, _ in spoken), *voice, tuple(words))


def _pause(rng: np.random.Generator) -> Pcm:
    count = int(rng.uniform(0.02, 0.35) * SAMPLE_RATE)
    return (rng.standard_normal(count) * 5).astype(np.int16)  # the noise floor of the recordings
