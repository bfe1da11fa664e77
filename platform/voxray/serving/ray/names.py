"""The names of a service's actors, by which every process finds them and no other service does.

Actors of another version end by themselves: their clients get new sessions from the new ones.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from voxray.serving.settings import ServiceArgs

NAMESPACE = "voxray"
TRANSCRIBER = "Transcriber"  # the deployment that decodes the buffer actors' windows


@cache
def code_digest() -> str:
    """Return a digest of the package's source."""
    root = Path(str(files("voxray")))
    sha = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        sha.update(str(file.relative_to(root)).encode())
        sha.update(file.read_bytes())
    return sha.hexdigest()


@dataclass(frozen=True, slots=True)
class Service:
    """One application of Ray Serve, with its arguments. `digest` covers all that buffer actors depend on."""

    app: str
    digest: str
    args: ServiceArgs

    @classmethod
    def of(cls, app: str, args: ServiceArgs) -> "Service":
        """Digest code, limits and decoding, but not the model: a new model keeps the buffer actors."""
        depends_on = f"{code_digest()} {args.limits.model_dump_json()} {args.decoding.model_dump_json()}"
        return cls(app, hashlib.sha256(depends_on.encode()).hexdigest()[:12], args)

    @property
    def directory(self) -> str:
        """The name of the directory actor."""
        return f"{self._prefix}-directory"

    def host(self, number: int) -> str:
        """Return the name of the buffer actor with this number."""
        return f"{self._prefix}-buffers-{number}"

    def number(self, name: str) -> int | None:
        """Return the number of the buffer actor with this name; None if it is not of this service."""
        prefix, _, number = name.rpartition("-")
        return int(number) if prefix == f"{self._prefix}-buffers" and number.isdecimal() else None

    @property
    def _prefix(self) -> str:
        return f"{self.app}-{self.digest}"
