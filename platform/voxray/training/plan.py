"""Which clips make which windows in which batch: a pure function of lengths, options and the epoch.

The cursor (epoch, batch) is all that a resume needs: the same plan is made again and gone on with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voxray.audio import WINDOW_S
from voxray.config import Config

POOL_BATCHES = 64  # batches are formed by length within a pool of this many, then shuffled


class PlanOptions(Config):
    """How clips become batches. The defaults are one clip per window, cut to the speech."""

    batch_s: float = 120.0  # seconds of audio per batch over all ranks, padded to the longest
    full_share: float = 0.2  # windows padded to the whole 30 s
    bucket_share: float = 1.0  # batches padded to a serving window; the others to their longest clip
    cut_share: float = 0.15  # windows of one clip that is cut at a random time
    join_share: float = 0.0  # windows of several clips with pauses between them
    join_s: tuple[float, float] = (8.0, 30.0)
    pause_s: tuple[float, float] = (0.2, 2.0)
    no_speech_share: float = 0.0  # windows of noise alone
    speed_share: float = 0.0
    speed_range: tuple[float, float] = (0.85, 1.18)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """What one row of a batch is made of. `clips` empty: no speech for `length_s`."""

    clips: tuple[int, ...]
    pauses_s: tuple[float, ...]
    speed: float
    length_s: float  # before cutting
    cut: bool
    full: bool
    seed: int

    @property
    def cost_s(self) -> float:
        """Seconds that the encoder sees, but for what a serving window adds."""
        return WINDOW_S if self.full else self.length_s


@dataclass(frozen=True, slots=True)
class Cursor:
    """The next batch: its epoch and its number in that epoch's plan."""

    epoch: int = 0
    batch: int = 0


def plan_epoch(durations_s: Sequence[float], options: PlanOptions, epoch: int) -> list[list[Window]]:
    """All batches of `epoch` in order; each clip stands in one window."""
    rng = np.random.default_rng((options.seed, epoch))
    order = [int(i) for i in rng.permutation(len(durations_s))]
    windows: list[Window] = []
    while order:
        windows.append(_next_window(order, durations_s, options, rng))
        if rng.random() < options.no_speech_share:
            windows.append(_no_speech(rng))
    return _batches(windows, options.batch_s, rng)


def _next_window(
    order: list[int], durations_s: Sequence[float], options: PlanOptions, rng: np.random.Generator
) -> Window:
    speed = float(rng.uniform(*options.speed_range)) if rng.random() < options.speed_share else 1.0
    joined = rng.random() < options.join_share
    target_s = float(rng.uniform(*options.join_s)) if joined else 0.0
    clips, pauses = [order.pop()], list[float]()
    if durations_s[clips[0]] / speed > WINDOW_S:
        speed = 1.0  # slowed down, its end would be cut off and its text not
    length_s = durations_s[clips[0]] / speed
    while order and length_s < target_s:
        pause_s = float(rng.uniform(*options.pause_s))
        longer_s = length_s + pause_s + durations_s[order[-1]] / speed
        if longer_s > WINDOW_S:
            break
        clips.append(order.pop())
        pauses.append(pause_s)
        length_s = longer_s
    return Window(
        clips=tuple(clips),
        pauses_s=tuple(pauses),
        speed=speed,
        length_s=min(length_s, WINDOW_S),
        cut=bool(len(clips) == 1 and rng.random() < options.cut_share),
        full=bool(rng.random() < options.full_share),
        seed=int(rng.integers(2**32)),
    )


def _no_speech(rng: np.random.Generator) -> Window:
    return Window((), (), 1.0, float(rng.uniform(0.5, 10.0)), False, False, int(rng.integers(2**32)))


def _batches(windows: list[Window], batch_s: float, rng: np.random.Generator) -> list[list[Window]]:
    """Windows of like length together, in random order of batches."""
    per_pool = max(1, int(POOL_BATCHES * batch_s / 6.0))
    batches: list[list[Window]] = []
    for at in range(0, len(windows), per_pool):
        pool = sorted(windows[at : at + per_pool], key=lambda w: w.cost_s)
        formed = _fill(pool, batch_s)
        batches += [formed[int(i)] for i in rng.permutation(len(formed))]
    return batches


def _fill(pool: Sequence[Window], batch_s: float) -> list[list[Window]]:
    formed: list[list[Window]] = []
    for window in pool:
        # The pool is sorted, so that this window would set the length of the whole batch.
        if formed and (len(formed[-1]) + 1) * window.cost_s <= batch_s:
            formed[-1].append(window)
        else:
            formed.append([window])
    return formed


def shard(batch: Sequence[Window], rank: int, world: int) -> list[Window]:
    """The windows of `batch` that `rank` of `world` takes; may be empty for the last ranks."""
    return list(batch[rank::world])
