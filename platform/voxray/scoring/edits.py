"""The edits that turn a reference into a hypothesis, for people to read."""

from dataclasses import dataclass
from typing import Literal, cast

import jiwer

from voxray.text import NormaliserName, by_character, normaliser, units

Kind = Literal["equal", "substitute", "delete", "insert"]


@dataclass(frozen=True, slots=True)
class Edit:
    """A run of words, or of characters where no spaces are written; `delete` and `insert` have one side."""

    kind: Kind
    reference: str
    hypothesis: str


def edits(reference: str, hypothesis: str, language: str | None, name: NormaliserName = "auto") -> list[Edit]:
    """Return the edits of one pair in order, as jiwer aligns them, in the units of its language."""
    normalise = normaliser(language, name)
    joiner = "" if by_character(language) else " "
    expected, got = (units(normalise(text), language) for text in (reference, hypothesis))
    if not expected:  # jiwer takes no empty reference
        return [Edit("insert", "", joiner.join(got))] if got else []
    return [
        Edit(
            cast(Kind, chunk.type),
            joiner.join(expected[chunk.ref_start_idx : chunk.ref_end_idx]),
            joiner.join(got[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in jiwer.process_words(" ".join(expected), " ".join(got)).alignments[0]
    ]
