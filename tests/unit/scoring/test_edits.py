"""Edits for people: every word of both texts is in them, in order."""

from hypothesis import given
from hypothesis import strategies as st

from voxray.scoring.edits import Edit, word_edits
from voxray.text import basic, word_errors

WORDS = st.lists(st.sampled_from("turn on the kitchen light at nine".split()), max_size=10).map(" ".join)


def test_a_pair_with_one_edit_of_each_kind() -> None:
    assert word_edits("The cat sat on the mat.", "the bat sat the mat today", basic) == [
        Edit("equal", "the", "the"),
        Edit("substitute", "cat", "bat"),
        Edit("equal", "sat", "sat"),
        Edit("delete", "on", ""),
        Edit("equal", "the mat", "the mat"),
        Edit("insert", "", "today"),
    ]


def test_an_empty_side_is_one_edit_and_two_are_none() -> None:
    assert word_edits("", "thank you", basic) == [Edit("insert", "", "thank you")]
    assert word_edits("thank you", "", basic) == [Edit("delete", "thank you", "")]
    assert word_edits("", "", basic) == []


@given(WORDS, WORDS)
def test_edits_spell_both_texts_and_count_as_the_score_does(reference: str, hypothesis: str) -> None:
    edits = word_edits(reference, hypothesis, basic)
    assert " ".join(e.said for e in edits if e.said) == reference
    assert " ".join(e.heard for e in edits if e.heard) == hypothesis
    counted = sum(max(len(e.said.split()), len(e.heard.split())) for e in edits if e.kind != "equal")
    assert counted == word_errors(reference, hypothesis, basic).errors
