"""What the actors of one service are called, so that every process finds them and no other service does.

Those of another version are left to end by themselves: their clients begin anew at the new ones.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from voxray.serving.settings import ServiceArgs

NAMESPACE = "voxray"
TRANSCRIBER = "Transcriber"  # the deployment that buffer actors hand their windows to


@cache
def code_digest() -> str:
    """Of the package's source."""
    root = Path(str(files("voxray")))
    sha = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        sha.update(str(file.relative_to(root)).encode())
        sha.update(file.read_bytes())
    return sha.hexdigest()


@dataclass(frozen=True, slots=True)
class Service:
    """One application of Ray Serve, and what it was told. `digest`: of all that buffer actors depend on."""

    app: str
    digest: str
    args: ServiceArgs

    @classmethod
    def of(cls, app: str, args: ServiceArgs) -> "Service":
        """Another model keeps the buffer actors of a service, other code, limits or decoding do not."""
        told = f"{code_digest()} {args.limits.model_dump_json()} {args.decoding.model_dump_json()}"
        return cls(app, hashlib.sha256(told.encode()).hexdigest()[:12], args)

    @property
    def directory(self) -> str:
        """The name of the directory actor."""
        return f"{self._prefix}-directory"

    def host(self, number: int) -> str:
        """The name of the buffer actor with this number."""
        return f"{self._prefix}-buffers-{number}"

    def number(self, name: str) -> int | None:
        """The number of the buffer actor that is called `name`; None where it is not one of ours."""
        prefix, _, number = name.rpartition("-")
        return int(number) if prefix == f"{self._prefix}-buffers" and number.isdecimal() else None

    @property
    def _prefix(self) -> str:
        return f"{self.app}-{self.digest}"
