"""Windows of audio that need no text: planned once, and rendered from their clips each time they are read.

A teacher labels what is rendered, so that a window may be cut anywhere, joined, sped up or noisy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import overload

import numpy as np

from voxray.audio import SAMPLE_RATE, WINDOW_SAMPLES, Pcm, to_pcm
from voxray.corpora.store import Clip
from voxray.training.augment import AugmentOptions, Floats, augment, coloured_noise, speed_perturb
from voxray.training.collate import joined
from voxray.training.plan import PlannedWindow, PlanOptions, plan_epoch

SHORTEST_CUT_S = 0.4


def plan_windows(durations_s: Sequence[float], options: PlanOptions, passes: int) -> list[PlannedWindow]:
    """Return the windows of `passes` passes over clips of `durations_s`, each clip in one a pass."""
    epochs = (plan_epoch(durations_s, options, epoch) for epoch in range(passes))
    return [window for epoch in epochs for window in chain.from_iterable(epoch)]


def plan_corpora(
    durations_s: Sequence[Sequence[float]], options: PlanOptions, passes: int, most: Sequence[int | None]
) -> list[PlannedWindow]:
    """Return the windows of several corpora, one after another, at most `most` of each (None: all).

    No window joins clips of two corpora. Clips are counted through: the second's follow the first's.
    """
    windows: list[PlannedWindow] = []
    first = 0
    for durations, count in zip(durations_s, most, strict=True):
        for window in plan_windows(durations, options, passes)[:count]:
            windows.append(replace(window, clips=tuple(first + i for i in window.clips)))
        first += len(durations)
    return windows


def plan_silences(count: int, seed: int = 0) -> list[PlannedWindow]:
    """Return `count` windows of 0.5 to 10 s without a clip: noise, or digital silence."""
    rng = np.random.default_rng((seed, count))
    return [
        PlannedWindow((), (), 1.0, float(rng.uniform(0.5, 10.0)), False, False, int(rng.integers(2**32)))
        for _ in range(count)
    ]


def render(clips: Sequence[Clip], window: PlannedWindow, augmentation: AugmentOptions) -> Pcm:
    """Return the audio of `window`, made of `clips`: at most 30 s, decided by the window's seed alone."""
    rng = np.random.default_rng(window.seed)
    if not window.clips:
        return to_pcm(_background(window.length_s, rng))
    clips = [speed_perturb(c, window.speed) if window.speed != 1.0 else c for c in clips]
    samples, _ = joined(clips, window.pauses_s, rng)
    if window.cut:
        samples = _cut(samples, rng)
    return to_pcm(augment(samples, augmentation, rng)[:WINDOW_SAMPLES])


def _background(length_s: float, rng: np.random.Generator) -> Floats:
    """Return noise of any colour at -100 to -20 dB of full scale, or, one time in ten, digital silence."""
    noise = coloured_noise(int(length_s * SAMPLE_RATE), float(rng.uniform(0, 2)), rng)
    level = 10 ** rng.uniform(-5.0, -1.0) * (rng.random() > 0.1)
    return (noise * np.float32(level)).clip(-1, 1)


def _cut(samples: Floats, rng: np.random.Generator) -> Floats:
    """Return `samples` without a random part at the end (6 of 10 times), the start, or both."""
    shortest = int(SHORTEST_CUT_S * SAMPLE_RATE)
    if len(samples) < 2 * shortest:
        return samples
    side = rng.choice(["end", "start", "both"], p=[0.6, 0.2, 0.2])
    start = int(rng.integers(len(samples) - shortest)) if side != "end" else 0
    end = int(rng.integers(start + shortest, len(samples) + 1)) if side != "start" else len(samples)
    return samples[start:end]


@dataclass(frozen=True)
class RenderedWindows(Sequence[Pcm]):
    """The audio of planned windows, in their order; nothing is kept between two reads."""

    clips: Sequence[Clip]
    windows: Sequence[PlannedWindow]
    augment: AugmentOptions

    def __len__(self) -> int:
        return len(self.windows)

    @overload
    def __getitem__(self, index: int) -> Pcm: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pcm]: ...
    def __getitem__(self, index: int | slice) -> Pcm | list[Pcm]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        window = self.windows[index]
        return render([self.clips[i] for i in window.clips], window, self.augment)
