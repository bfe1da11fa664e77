"""`voxray.json` beside a model: what Voxray knows of it that no other format has a place for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, Field, ValidationError

from voxray.audio import WINDOW_S
from voxray.config import Config
from voxray.errors import ModelError

FILE_NAME = "voxray.json"


class CheckScore(Config):
    """An error rate (1.0 is 100 %) on clips with texts, and the bounds of its 95 % confidence interval.

    `kind` is WER; CER or MER where some languages are written without spaces.
    """

    model_config = ConfigDict(extra="ignore")

    corpus: str
    split: str | None = None
    clips: int
    kind: str = "WER"
    rate: float
    low: float
    high: float


class ModelInfo(Config):
    """What a model was trained or exported for. Keys that a later release writes are ignored.

    `min_window_s`: the shortest window, in seconds, that the model may be given. `languages`: those it was
    trained on; empty where nobody knows. The rest is written by an export: `source` is the digest of the
    model it was made from, `source_name` what the user called that, `wer_to_source` the error rate against
    its text, and `windows` how much that rises on each window length (seconds) that was checked; the last two
    are absent where nothing could run the export. `score` is the export's own on the clips of that check.
    `adapter` is the digest of an adapter that was merged into it.
    """

    model_config = ConfigDict(extra="ignore")

    min_window_s: float = WINDOW_S
    languages: tuple[str, ...] = ()
    source: str | None = None
    source_name: str | None = None
    format: str | None = None
    quantization: str | None = None
    parameters: int | None = None
    wer_to_source: float | None = None
    windows: Mapping[str, float] = Field(default_factory=dict)
    score: CheckScore | None = None
    adapter: str | None = None
    voxray: str | None = None

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `folder/voxray.json`; without one, return the defaults. ModelError where it is malformed."""
        file = folder / FILE_NAME
        if not file.is_file():
            return cls()
        try:
            return cls.model_validate_json(file.read_bytes())
        except ValidationError as e:
            first = e.errors()[0]
            key = ".".join(map(str, first["loc"])) or "the file"
            raise ModelError(f"{file}: expected model information, got {first['msg']} at {key}.") from e

    def save(self, folder: Path) -> None:
        """Write the values that were given to `folder/voxray.json`."""
        values = self.model_dump(exclude_unset=True)
        (folder / FILE_NAME).write_text(json.dumps(values, indent=1) + "\n")
