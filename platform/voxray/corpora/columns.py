"""Columns of a csv or keys of a manifest that a corpus calls otherwise than the format does."""

from collections.abc import Mapping
from typing import Any

from voxray.config import Config
from voxray.errors import CorpusError


class Columns(Config):
    """Which columns are read; null is the format's own name."""

    id_column: str | None = None
    """Column of the clips' ids; null: uid in a csv, id in a manifest."""
    audio_column: str | None = None
    """Column of the audio files; null: file_name in a csv, audio or audio_filepath in a manifest."""
    text_column: str | None = None
    """Column of the texts; null: text in a csv, sentence or text in a manifest."""

    @property
    def given(self) -> bool:
        """Whether a name differs from the format's."""
        return any((self.id_column, self.audio_column, self.text_column))

    def mapped(self, row: Mapping[str, Any], where: str, *, id: str, audio: str, text: str) -> dict[str, Any]:
        """Return `row` with the columns that are given under the format's names `id`, `audio` and `text`.

        Raises CorpusError where `row`, which is at `where`, lacks one.
        """
        given = {"id_column": id, "audio_column": audio, "text_column": text}
        named = {column: name for key, name in given.items() if (column := getattr(self, key)) is not None}
        for column in named.keys() - row.keys():
            key = next(k for k in given if getattr(self, k) == column)
            raise CorpusError(f"{where}: expected a column {column!r} ({key}), got {', '.join(row)}.")
        return {**row, **{name: row[column] for column, name in named.items()}}


DEFAULT = Columns()
