"""The audit log: who used the service when and for how long, without texts, in lines of JSON."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

from voxray.errors import ConfigError

log = logging.getLogger(__name__)

Value = str | int | float | None


class AuditLog:
    """Appends to `file`, which the gateways of a node share; None: nothing is written.

    The file is opened for each line, so that it can be rotated. ConfigError where it cannot be written.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        try:
            self._append("")
        except OSError as e:
            raise ConfigError(
                f"access.audit_log: expected a file that can be written, got {file} ({e.strerror})."
            ) from e

    def write(self, event: str, **values: Value) -> None:
        """Append a line: the time, `event` and `values`, seconds rounded to milliseconds."""
        rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in values.items()}
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            self._append(json.dumps({"at": at, "event": event, **rounded}) + "\n")
        except OSError as e:  # a full disk is no reason to refuse a client
            log.error("the audit log cannot be written (%s): %s %s", e, event, rounded)

    def _append(self, line: str) -> None:
        if self._file:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(line)
