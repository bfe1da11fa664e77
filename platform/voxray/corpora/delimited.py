"""Delimited tables of a corpus, csv and tsv, row by row: what is wrong in one row changes no other.

In csv a field that begins with a quote is quoted (RFC 4180). In tsv most quotes are characters of the text:
there a field is quoted only if it has quotes at both ends, and none but doubled ones between.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import PurePosixPath

from voxray.audio import EXTENSIONS
from voxray.corpora import places
from voxray.errors import CorpusError

MAX_ROW_LINES = 1_000  # that a quoted field may go over


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: the line on which it begins, its values by column, and what is wrong with it."""

    line: int
    values: Mapping[str, str | None]
    fault: str = ""


def read_table(where: str) -> tuple[list[str], list[Row]]:
    """Return the columns and the rows of a csv or tsv file, a path or URL; blank rows are left out.

    Raises CorpusError where it cannot be read.
    """
    delimiter = "\t" if where.endswith(".tsv") else ","
    try:
        lines = list(io.StringIO(places.read_text(where), newline=""))
    except (OSError, UnicodeDecodeError) as e:
        raise CorpusError(f"{where}: expected a csv file in UTF-8, got one that cannot be read ({e}).") from e
    records = _records(lines, delimiter)
    _, header = next(records, (1, []))
    columns = [name.strip() for name in header or ()]
    return columns, [_row(line, fields, columns) for line, fields in records]


def _row(line: int, fields: Sequence[str] | None, columns: Sequence[str]) -> Row:
    """Return the fields of a row by their columns; those that it lacks at its end are None."""
    if fields is None:
        fault = "expected a row of csv, got a quote that is not closed; double the quotes of the text."
        return Row(line, {}, fault)
    if any(fields[len(columns) :]):
        fault = f"expected {len(columns)} fields, got {len(fields)}; put quotes around the text."
        return Row(line, {}, fault)
    return Row(line, dict(zip_longest(columns, fields[: len(columns)])))


def _records(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str] | None]]:
    """Yield the fields of each row, and the line on which it begins; None for those of a broken one."""
    at = 0
    while at < len(lines):
        fields, used = _record(lines[at : at + (MAX_ROW_LINES if '"' in lines[at] else 1)], delimiter)
        if fields is None or fields:
            yield at + 1, fields
        at += used


def _record(lines: Sequence[str], delimiter: str) -> tuple[list[str] | None, int]:
    """Return the fields of the row that `lines` begin with, and how many of them it takes."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        fields = next(reader, [])
        if not any(_is_row(line, delimiter) for line in lines[1 : reader.line_num]):
            return fields, reader.line_num
    except csv.Error:
        pass
    return (lines[0].rstrip("\r\n").split(delimiter) if delimiter == "\t" else None), 1


def _is_row(line: str, delimiter: str) -> bool:
    """Return whether a line that seems to be inside a quoted field is a row of its own: it names audio."""
    fields = line.split(delimiter)
    return len(fields) > 1 and any(PurePosixPath(f.strip()).suffix.lower() in EXTENSIONS for f in fields)
