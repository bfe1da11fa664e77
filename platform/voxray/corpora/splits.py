"""Train, dev and test: by name, or by a hash that no other clip can change."""

import re
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b

from voxray.errors import CorpusError

SPLITS = ("train", "dev", "test")
_ALIASES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "validation", "valid", "val"), "dev"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}  # those of Hugging Face's datasets (data_files.py)
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


def split_named(name: str, where: str) -> str:
    """Return the split that `name` stands for, as `check_split` does; data sets have further names."""
    return _ALIASES.get(name.lower()) or check_split(name, where)


def split_in_path(path: str) -> str | None:
    """Return the split that a folder of `path` is named after, the last where several are; else None."""
    folders = path.lower().split("/")[:-1]
    return next((_ALIASES[folder] for folder in reversed(folders) if folder in _ALIASES), None)


def split_in_name(path: str) -> str | None:
    """Return the split that is a word of `path`, as in `data/train-00000-of-00002.parquet`; else None.

    The file's own name comes before its folders', the nearest first.
    """
    words = (word for part in reversed(path.lower().split("/")) for word in re.findall("[a-z]+", part))
    return next((_ALIASES[word] for word in words if word in _ALIASES), None)


def describe(splits: Iterable[str]) -> str:
    """Say how many clips each split has, such as `train 320, test 40`."""
    counts = Counter(splits)
    return ", ".join(f"{name} {counts[name]}" for name in SPLITS if counts[name]) or "no clips"
