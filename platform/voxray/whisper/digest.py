"""The digest that binds labels and exports to the model they were made with, and the files it covers."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

# In the order in which they are preferred; copies in float32 (`model.fp32-...`) fit none of these.
WEIGHTS = (
    r"model\.safetensors",
    r"model-\d+-of-\d+\.safetensors",
    r"model\.bin",
    r"pytorch_model\.bin",
    r"pytorch_model-\d+-of-\d+\.bin",
)


def weight_files(names: Iterable[str]) -> list[str]:
    """Return the one set of weights that is used of a folder with the files `names`, in order."""
    every = sorted(names)
    return next((found for p in WEIGHTS if (found := [n for n in every if re.fullmatch(p, n)])), [])


def digest(folder: Path) -> str:
    """Return the SHA-256 (hexadecimal) over the names and contents of a folder's weights and JSON files."""
    names = [p.name for p in folder.iterdir()]
    sha = hashlib.sha256()
    for name in sorted([*weight_files(names), *(n for n in names if n.endswith(".json"))]):
        sha.update(name.encode())
        sha.update(bytes.fromhex(sha256_of(folder / name)))
    return sha.hexdigest()


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of one file, in hexadecimal."""
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
