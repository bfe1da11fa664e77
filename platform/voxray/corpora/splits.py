"""Train, dev and test: by name, or by a hash that no other clip can change."""

from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b

from voxray.errors import CorpusError

SPLITS = ("train", "dev", "test")
TRAIN_SHARE, DEV_SHARE = 0.8, 0.1  # the rest is test


def split_key(speaker: str, recording: str, id: str) -> str:
    """Return what a clip is split by, for `split_of`: its speaker, else its recording, else its own id.

    Clips of one speaker or one recording are alike; on both sides of a split they would flatter the score.
    """
    return speaker or recording or id


def split_of(key: str) -> str:
    """Return the split of `key` (`split_key`) by its hash alone, so that adding a file moves no other."""
    place = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64
    if place < TRAIN_SHARE:
        return "train"
    return "dev" if place < TRAIN_SHARE + DEV_SHARE else "test"


def check_split(name: str, where: str) -> str:
    """Return `name` if it is one of `SPLITS`; raise CorpusError otherwise."""
    if name not in SPLITS:
        raise CorpusError(f"{where}: expected a split called {', '.join(SPLITS)}, got {name!r}.")
    return name


def describe(splits: Iterable[str]) -> str:
    """Say how many clips each split has, such as `train 320, test 40`."""
    counts = Counter(splits)
    return ", ".join(f"{name} {counts[name]}" for name in SPLITS if counts[name]) or "no clips"
