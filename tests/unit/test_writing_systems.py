import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.transcript import Segment, Transcript
from voxray.word_segmentation import split_words
from voxray.writing_systems import join_texts

UNSPACED_TEXTS = {
    "zh": "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002\u6211\u4eec\u53bb\u516c\u56ed\u5427\uff01",
    "ja": "\u4eca\u65e5\u306f\u6674\u308c\u3067\u3059\u300c\u306f\u3044\u300d\u3068\u30ab\u30fc\u30c9",
    "th": "\u0e27\u0e31\u0e19\u0e19\u0e35\u0e49\u0e2d\u0e32\u0e01\u0e32\u0e28\u0e14\u0e35\u0e21\u0e32\u0e01",
    "lo": "\u0ea1\u0eb7\u0ec9\u0e99\u0eb5\u0ec9\u0ead\u0eb2\u0e81\u0eb2\u0e94\u0e94\u0eb5",
    "km": "\u1790\u17d2\u1784\u17c3\u1793\u17c1\u17c7\u17a2\u17b6\u1780\u17b6\u179f\u179b\u17d2\u17a2",
    "my": "\u1000\u103b\u1031\u102c\u1004\u103a\u1038\u101e\u1030\u1000\u103b\u1031\u102c\u1004\u103a\u1038",
    "yue": "\u4eca\u65e5\u5929\u6c23\u5f88\u597d",
}


@pytest.mark.parametrize("text", UNSPACED_TEXTS.values(), ids=UNSPACED_TEXTS)
def test_words_of_scripts_without_spaces_join_to_their_text(text: str) -> None:
    words = split_words(text)

    assert len(words) >= 5
    assert join_texts(words) == text
    assert Transcript(tuple(Segment(0.0, 1.0, w) for w in words), "und", 1.0).text == text


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["Turn on", "", "the light."], "Turn on the light."),
        (["\ud55c\uad6d\uc5b4", "\ub9d0"], "\ud55c\uad6d\uc5b4 \ub9d0"),
        (
            ["\u0928\u092e\u0938\u094d\u0924\u0947", "\u0939\u0948"],
            "\u0928\u092e\u0938\u094d\u0924\u0947 \u0939\u0948",
        ),
        (["\u6211\u7528", "Hello", "world", "\u5427\u3002"], "\u6211\u7528Hello world\u5427\u3002"),
        (["\u597d\u3002", "OK", "(\u5bf9)"], "\u597d\u3002OK(\u5bf9)"),
        (["\u0e23\u0e32\u0e04\u0e32", "50", "\u0e1a"], "\u0e23\u0e32\u0e04\u0e3250\u0e1a"),
        ([], ""),
    ],
)
def test_a_space_stands_only_where_both_sides_have_spaces(texts: list[str], joined: str) -> None:
    assert join_texts(texts) == joined


@given(st.lists(st.text(max_size=8), max_size=6))
def test_joined_texts_hold_every_text_in_order_and_nothing_but_spaces(texts: list[str]) -> None:
    assert join_texts(texts).replace(" ", "") == "".join(texts).replace(" ", "")
