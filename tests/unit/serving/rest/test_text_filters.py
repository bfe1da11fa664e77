import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.serving.rest.text_filters import filtered_segment, text_filter, without_punctuation
from voxray.transcript import Segment, Word


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Well, I don't know.", "Well I don't know"),
        ("A well-known 3.5 of 1,000 at 10:30 -- 50%!", "A well-known 3.5 of 1,000 at 10:30 50%"),
        ("\u201cHello\u201d\u2014he said\u2026", "Hello he said"),
        ("你好\uff0c世界。", "你好 世界"),
        ("...", ""),
    ],
)
def test_punctuation_goes_and_words_stay(text: str, plain: str) -> None:
    assert without_punctuation(text) == plain


@given(st.text())
def test_what_has_no_punctuation_any_more_stays_as_it_is(text: str) -> None:
    assert without_punctuation(without_punctuation(text)) == without_punctuation(text)


def test_chinese_is_simplified_by_the_phrase_and_japanese_is_left() -> None:
    simple = text_filter("zh", remove_punctuation=True, simplified_chinese=True)
    japanese = text_filter("ja", remove_punctuation=False, simplified_chinese=True)

    assert simple("頭髮\uff0c出發。乾坤\uff0c乾燥。") == "头发 出发 乾坤 干燥"
    assert japanese("東京の電車。") == "東京の電車。"


def test_words_of_which_nothing_is_left_are_dropped() -> None:
    change = text_filter("en", remove_punctuation=True, simplified_chinese=False)
    segment = Segment(0.0, 2.0, "Yes - no.", (Word("Yes", 0, 0.5), Word("-", 0.5, 0.6), Word("no.", 1, 2)))

    assert filtered_segment(segment, change) == Segment(
        0.0, 2.0, "Yes no", (Word("Yes", 0, 0.5), Word("no", 1, 2))
    )
