"""Edits for people: every word of both texts is in them, in order."""

from hypothesis import given
from hypothesis import strategies as st

from voxray.scoring.edits import Edit, edits
from voxray.text import basic, word_errors

WORDS = st.lists(st.sampled_from("turn on the kitchen light at nine".split()), max_size=10).map(" ".join)


def test_a_pair_with_one_edit_of_each_kind() -> None:
    assert edits("The cat sat on the mat.", "the bat sat the mat today", "en", "basic") == [
        Edit("equal", "the", "the"),
        Edit("substitute", "cat", "bat"),
        Edit("equal", "sat", "sat"),
        Edit("delete", "on", ""),
        Edit("equal", "the mat", "the mat"),
        Edit("insert", "", "today"),
    ]


def test_an_empty_side_is_one_edit_and_two_are_none() -> None:
    assert edits("", "thank you", "en", "basic") == [Edit("insert", "", "thank you")]
    assert edits("thank you", "", "en", "basic") == [Edit("delete", "thank you", "")]
    assert edits("", "", "en", "basic") == []


@given(WORDS, WORDS)
def test_edits_spell_both_texts_and_count_as_the_score_does(reference: str, hypothesis: str) -> None:
    found = edits(reference, hypothesis, "en", "basic")
    assert " ".join(e.reference for e in found if e.reference) == reference
    assert " ".join(e.hypothesis for e in found if e.hypothesis) == hypothesis
    counted = (max(len(e.reference.split()), len(e.hypothesis.split())) for e in found if e.kind != "equal")
    assert sum(counted) == word_errors(reference, hypothesis, basic).errors


def test_characters_are_edited_where_no_spaces_are_written() -> None:
    assert edits("今日は晴れ。", "今日は雨", "ja") == [
        Edit("equal", "今日は", "今日は"),
        Edit("substitute", "晴", "雨"),
        Edit("delete", "れ", ""),
    ]
