"""Labelled corpora of tones that last a quarter of a second."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from voxray.corpora.labelled import SCHEMA

WriteLabels = Callable[[Mapping[str, Mapping[str, Any]]], Path]


@pytest.fixture
def write_labels(tmp_path: Path) -> WriteLabels:
    """Writes a labelled corpus: what differs in each clip's row from a correct label in the train split."""

    def write(clips: Mapping[str, Mapping[str, Any]]) -> Path:
        rows = [row(uid) | dict(values) for uid, values in clips.items()]
        folder = tmp_path / "labels" / "labelled"
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "shard-0.parquet")
        return folder.parent

    return write


def row(uid: str) -> dict[str, Any]:
    audio = np.full(4000, 1000, dtype="<i2").tobytes()
    texts = {"text": f"text of {uid}", "pseudo_text": f"label of {uid}", "language": "en", "words": []}
    counts = {"reference_length": 3, "substitutions": 0, "deletions": 0, "insertions": 0}
    scores = {"avg_logprob": -0.1, "compression_ratio": 1.0, "chars_per_s": 10.0}
    place = {"id": uid, "audio": audio, "duration_s": 0.25, "split": "train", "no_speech": False}
    return {**dict.fromkeys(SCHEMA.names), **place, **texts, **counts, **scores}
