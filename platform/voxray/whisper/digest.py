"""The digest that binds labels and exports to the model they were made with."""

import hashlib
from pathlib import Path


def digest(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of a model folder's files, in hexadecimal."""
    sha = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix in {".json", ".safetensors", ".bin"}):
        sha.update(file.name.encode())
        with file.open("rb") as f:
            while block := f.read(1 << 20):
                sha.update(block)
    return sha.hexdigest()
