"""Plans which clips make which windows in which batch: a pure function of lengths, options and the epoch.

The cursor (epoch, batch) is all that a resume needs: it makes the same plan again and goes on in it.
"""

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from voxray.audio import WINDOW_S
from voxray.config import Config, NonNegativeRange, Positive, PositiveRange, Probability

POOL_BATCHES = 64  # batches are formed by length within a pool of this many, then shuffled


class PlanOptions(Config):
    """How clips become windows, and windows batches. By default a window holds one clip."""

    renamed: ClassVar = {
        f"{key}_share": f"{key}_probability"
        for key in ("full", "bucket", "cut", "join", "no_speech", "speed")
    }
    batch_s: Positive = 120.0
    """Seconds of audio in a batch over all workers, padding to its longest window included."""
    full_probability: Probability = 0.2
    """How many windows are padded to the whole 30 s."""
    bucket_probability: Probability = 1.0
    """How many batches are padded to a window that serving uses; the others to their longest window."""
    cut_probability: Probability = 0.15
    """How many windows of one clip are cut at a random time, their text with them."""
    join_probability: Probability = 0.0
    """How many windows hold several clips with pauses between them."""
    join_s: PositiveRange = (8.0, 30.0)
    """Bounds of the length that a window of several clips is filled to, in seconds."""
    pause_s: NonNegativeRange = (0.2, 2.0)
    """Bounds of the pause between two clips of a window, in seconds."""
    no_speech_probability: Probability = 0.0
    """How many windows of noise alone are added, as a fraction of the others."""
    speed_probability: Probability = 0.0
    """How many windows are played at another speed."""
    speed_range: PositiveRange = (0.85, 1.18)
    """Bounds of that speed, as a factor."""
    seed: int = 0
    """Seed of the order of the clips and of all that is random about a window."""


@dataclass(frozen=True, slots=True)
class PlannedWindow:
    """What one row of a batch is made of; without `clips` it is `length_s` seconds of noise."""

    clips: tuple[int, ...]
    pauses_s: tuple[float, ...]
    speed: float
    length_s: float  # before cutting
    cut: bool
    full: bool
    seed: int
    like: int | None = None  # of a window without clips: the clip whose language and task it is labelled with

    @property
    def cost_s(self) -> float:
        """Return the seconds that the encoder sees, without what padding to a serving window adds."""
        return WINDOW_S if self.full else self.length_s


@dataclass(frozen=True, slots=True)
class Cursor:
    """The next batch: its epoch and its number in that epoch's plan."""

    epoch: int = 0
    batch: int = 0


@dataclass(frozen=True, slots=True)
class Mixture:
    """Sets of `sizes` clips, one after another in the list of all clips, and the share that each has."""

    sizes: tuple[int, ...]
    weights: tuple[float, ...]

    def order(self, seed: int, epoch: int) -> list[int]:
        """Return the clips of `epoch` in order: as many as there are clips, of each set its share.

        Each set is gone through again and again, in another order each time: at the end of any epoch, its
        clips have been drawn equally often, or some once more.
        """
        counts = _shares(self.weights, sum(self.sizes))
        starts = [sum(self.sizes[:k]) for k in range(len(self.sizes))]
        chosen = [
            start + clip
            for k, (start, size, count) in enumerate(zip(starts, self.sizes, counts, strict=True))
            for clip in _cycle(size, epoch * count, count, (seed, k))
        ]
        return [chosen[int(i)] for i in np.random.default_rng((seed, epoch)).permutation(len(chosen))]


def _shares(weights: Sequence[float], total: int) -> list[int]:
    """Divide `total` by `weights`; the parts add up to it, and each is at most one away from its share."""
    ends = np.rint(np.cumsum(weights) / sum(weights) * total).astype(int)
    return [int(n) for n in np.diff(ends, prepend=0)]


def _cycle(size: int, start: int, count: int, seed: tuple[int, int]) -> Iterator[int]:
    """Yield places `start` to `start + count` of an endless row of permutations of `size` clips."""
    for at in range(start, start + count):
        if at == start or at % size == 0:
            permutation = np.random.default_rng((*seed, at // size, size)).permutation(size)
        yield int(permutation[at % size])


@dataclass(frozen=True, slots=True)
class JoinRules:
    """Which clips may be joined: of one kind (language and task), and with texts that fit into one label.

    `tokens` are those of each clip's text, `most` what a label of several may hold, `kinds` each clip's.
    """

    tokens: Sequence[int]
    most: int
    kinds: Sequence[Hashable]

    def allow(self, clips: Sequence[int]) -> bool:
        """Return whether a window of `clips` may be."""
        alike = len({self.kinds[i] for i in clips}) == 1
        return alike and sum(self.tokens[i] for i in clips) <= self.most


def plan_epoch(
    durations_s: Sequence[float],
    options: PlanOptions,
    epoch: int,
    mixture: Mixture | None = None,
    rules: JoinRules | None = None,
) -> list[list[PlannedWindow]]:
    """Return all batches of `epoch` in order; each clip is in one window, unless a `mixture` weighs.

    With `rules`, only the clips that these allow are joined.
    """
    rng = np.random.default_rng((options.seed, epoch))
    order = [int(i) for i in rng.permutation(len(durations_s))]
    if mixture:
        order = mixture.order(options.seed, epoch)
    windows: list[PlannedWindow] = []
    while order:
        windows.append(_next_window(order, durations_s, options, rng, rules))
        if rng.random() < options.no_speech_probability:
            windows.append(_no_speech(rng, windows[-1].clips[0]))
    return _batches(windows, options.batch_s, rng)


def _next_window(
    order: list[int],
    durations_s: Sequence[float],
    options: PlanOptions,
    rng: np.random.Generator,
    rules: JoinRules | None,
) -> PlannedWindow:
    speed = float(rng.uniform(*options.speed_range)) if rng.random() < options.speed_probability else 1.0
    joined = rng.random() < options.join_probability
    target_s = float(rng.uniform(*options.join_s)) if joined else 0.0
    clips, pauses = [order.pop()], list[float]()
    if durations_s[clips[0]] / speed > WINDOW_S:
        speed = 1.0  # slowed down, its end would be cut off but not its text
    length_s = durations_s[clips[0]] / speed
    while order and length_s < target_s:
        pause_s = float(rng.uniform(*options.pause_s))
        longer_s = length_s + pause_s + durations_s[order[-1]] / speed
        if longer_s > WINDOW_S or (rules and not rules.allow([*clips, order[-1]])):
            break
        clips.append(order.pop())
        pauses.append(pause_s)
        length_s = longer_s
    return PlannedWindow(
        clips=tuple(clips),
        pauses_s=tuple(pauses),
        speed=speed,
        length_s=min(length_s, WINDOW_S),
        cut=bool(len(clips) == 1 and rng.random() < options.cut_probability),
        full=bool(rng.random() < options.full_probability),
        seed=int(rng.integers(2**32)),
    )


def reordered(batches: list[list[PlannedWindow]], seed: int, epoch: int) -> list[list[PlannedWindow]]:
    """Return `batches`, those of an epoch before, in the order of `epoch`."""
    order = np.random.default_rng((seed, epoch, len(batches))).permutation(len(batches))
    return [batches[int(i)] for i in order]


def batch_key(windows: Sequence[PlannedWindow]) -> str:
    """Return a digest of what a rank makes a batch of."""
    made_of = repr([(w.clips, w.seed) for w in windows])
    return hashlib.blake2b(made_of.encode(), digest_size=12).hexdigest()


def _no_speech(rng: np.random.Generator, like: int) -> PlannedWindow:
    length_s, seed = float(rng.uniform(0.5, 10.0)), int(rng.integers(2**32))
    return PlannedWindow((), (), 1.0, length_s, cut=False, full=False, seed=seed, like=like)


def _batches(
    windows: list[PlannedWindow], batch_s: float, rng: np.random.Generator
) -> list[list[PlannedWindow]]:
    """Group windows of similar length, and shuffle the batches."""
    per_pool = max(1, int(POOL_BATCHES * batch_s / 6.0))
    batches: list[list[PlannedWindow]] = []
    for at in range(0, len(windows), per_pool):
        pool = sorted(windows[at : at + per_pool], key=lambda w: w.cost_s)
        formed = _fill(pool, batch_s)
        batches += [formed[int(i)] for i in rng.permutation(len(formed))]
    return batches


def _fill(pool: Sequence[PlannedWindow], batch_s: float) -> list[list[PlannedWindow]]:
    formed: list[list[PlannedWindow]] = []
    for window in pool:
        # The pool is sorted: this window would set the length of the whole batch.
        if formed and (len(formed[-1]) + 1) * window.cost_s <= batch_s:
            formed[-1].append(window)
        else:
            formed.append([window])
    return formed


def shard(batch: Sequence[PlannedWindow], rank: int, world: int) -> list[PlannedWindow]:
    """Return the windows of `batch` for `rank` of `world` ranks; it may have none for the last ones."""
    return list(batch[rank::world])
