"""The command line: `voxray transcribe FILE...`, `voxray stream FILE`, `voxray doctor`, `voxray --version`.

Commands import what they need when they run: `--version` answers at once, and `doctor` also works where a
library is broken.
"""

from voxray.cli.app import app

__all__ = ["app"]
