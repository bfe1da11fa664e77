"""Exports are compared with their sources by each clip's own language."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.errors import ExportError
from voxray.whisper.comparison import check_same, disagreement, error_rates, rise, smallest_window
from voxray.whisper.engines import DecodingResult

CHINESE = "今天天气很好我们去公园"
TWO_CHANGED = CHINESE.replace("好", "坏").replace("去", "来")


def result(text: str, language: str = "en", tokens: tuple[int, ...] = ()) -> DecodingResult:
    return DecodingResult(text, language, tokens, (), (), -0.1, 0.0, 1.0)


@pytest.mark.parametrize("language", ["zh", "ja", "yue"])
def test_a_changed_character_is_one_error_where_words_are_not_spaced(language: str) -> None:
    changed = result(CHINESE.replace("好", "坏"), language)

    assert disagreement([result(CHINESE, language)], [changed]) == pytest.approx(1 / len(CHINESE))
    assert rise([result(CHINESE, language)], [changed], [CHINESE]) == pytest.approx(1 / len(CHINESE))


@pytest.mark.parametrize("order", [1, -1])
def test_each_clip_is_normalised_in_its_own_language(order: int) -> None:
    """English spelling is unified, and English fillers are dropped: German "um" is no filler."""
    texts = ["the colour is grey", "wir kommen um acht"][::order]
    results = [result("the color is gray"), result("wir kommen acht", "de")][::order]

    assert error_rates(texts, results, ["en", "de"][::order]) == {"en": 0.0, "de": 0.25}


def test_a_set_is_as_bad_as_its_worst_language() -> None:
    source = [result("one two three four"), result(CHINESE, "zh")]
    results = [result("one two three four"), result(TWO_CHANGED, "zh")]

    assert disagreement(source, results) == pytest.approx(2 / len(CHINESE))


def test_with_references_only_a_rise_counts_and_each_languages_own() -> None:
    source = [result("one two three five"), result(CHINESE, "zh")]
    better = [result("one two three four"), result(CHINESE, "zh")]
    references = ["one two three four", CHINESE]

    assert rise(source, better, references) == 0.0
    assert rise(source, [better[0], result(TWO_CHANGED, "zh")], references) == pytest.approx(2 / len(CHINESE))


def test_an_export_that_is_worse_or_differs_in_a_token_is_refused() -> None:
    same, other = [result("a", tokens=(1,))], [result("a", tokens=(2,))]
    check_same(Path("x"), same, other, 0.05, 0.05)
    check_same(Path("x"), same, same, 0.0, 0.0)

    with pytest.raises(ExportError, match=r"x: expected the export within 5\.00 % .* got 6\.00 %"):
        check_same(Path("x"), same, other, 0.06, 0.05)
    with pytest.raises(ExportError, match="expected the export to give its source's tokens, got 'a' for 'a'"):
        check_same(Path("x"), same, other, 0.0, 0.0)


@pytest.mark.parametrize(
    ("rises", "window"),
    [
        ({30.0: 0.0}, 30.0),
        ({2.0: 0.0, 4.0: 0.0, 30.0: 0.0}, 2.0),
        ({2.0: 0.3, 4.0: 0.05, 30.0: 0.0}, 4.0),
        ({2.0: 0.0, 6.0: 0.2, 10.0: 0.01, 30.0: 0.0}, 10.0),
        ({15.0: 0.2, 30.0: 0.0}, 30.0),
    ],
)
def test_the_smallest_window_passed_with_every_larger_one(rises: dict[float, float], window: float) -> None:
    assert smallest_window(rises, 0.05) == window


@given(
    st.dictionaries(st.sampled_from([2.0, 4.0, 6.0, 10.0, 15.0, 20.0]), st.floats(0, 1)),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_laxer_tolerance_never_asks_for_a_larger_window(
    rises: dict[float, float], a: float, b: float
) -> None:
    rises = {**rises, 30.0: 0.0}
    assert smallest_window(rises, max(a, b)) <= smallest_window(rises, min(a, b))
