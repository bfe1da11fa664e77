"""The word edits that turn a reference into a hypothesis, for people to read."""

from dataclasses import dataclass
from typing import Literal, cast

import jiwer

from voxray.text import Normaliser, english

Kind = Literal["equal", "substitute", "delete", "insert"]


@dataclass(frozen=True, slots=True)
class Edit:
    """A run of words as said and as heard; `heard` is empty in a deletion, `said` in an insertion."""

    kind: Kind
    said: str
    heard: str


def word_edits(reference: str, hypothesis: str, normalise: Normaliser = english) -> list[Edit]:
    """The edits of one pair after `normalise`, in order, as jiwer aligns them."""
    said, heard = normalise(reference).split(), normalise(hypothesis).split()
    if not said:  # jiwer takes no empty reference
        return [Edit("insert", "", " ".join(heard))] if heard else []
    aligned = jiwer.process_words(" ".join(said), " ".join(heard)).alignments[0]
    return [
        Edit(
            cast(Kind, chunk.type),
            " ".join(said[chunk.ref_start_idx : chunk.ref_end_idx]),
            " ".join(heard[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in aligned
    ]
