"""Train, dev and test: by name, or by a hash that no other clip can change."""

from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b

from voxray.errors import CorpusError

SPLITS = ("train", "dev", "test")
TRAIN_SHARE, DEV_SHARE = 0.8, 0.1  # the rest is test


def split_of(key: str) -> str:
    """The split of `key` (a speaker, else a recording), by its hash alone: adding a file moves no other."""
    place = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64
    if place < TRAIN_SHARE:
        return "train"
    return "dev" if place < TRAIN_SHARE + DEV_SHARE else "test"


def check_split(name: str, where: str) -> str:
    """`name` if it is one of `SPLITS`; else CorpusError."""
    if name not in SPLITS:
        raise CorpusError(f"{where}: expected a split called {', '.join(SPLITS)}, and {name!r} came.")
    return name


def describe(splits: Iterable[str]) -> str:
    """How many clips each split has, such as `train 320, test 40`."""
    counts = Counter(splits)
    return ", ".join(f"{name} {counts[name]}" for name in SPLITS if counts[name]) or "no clips"
