import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.text import (
    ErrorCounts,
    basic,
    by_character,
    character_errors,
    compression_ratio,
    english,
    normaliser,
    repeated_ngrams,
    spaced,
    whisper_english,
    word_errors,
)

words = st.lists(st.sampled_from("kitchen light seven turn on the".split()), max_size=8).map(" ".join)


def edit_distance(a: list[str], b: list[str]) -> int:
    """Levenshtein, row by row: small, slow, and independent of jiwer."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        left = i
        new = [left]
        for j, y in enumerate(b, start=1):
            left = min(left + 1, row[j] + 1, row[j - 1] + (x != y))
            new.append(left)
        row = new
    return row[-1]


@given(words, words)
def test_word_errors_are_the_edit_distance(reference: str, hypothesis: str) -> None:
    counts = word_errors(reference, hypothesis, spaced)

    assert counts.errors == edit_distance(reference.split(), hypothesis.split())
    assert counts.reference_length == len(reference.split())
    assert counts.reference_length - counts.deletions + counts.insertions == len(hypothesis.split())


@given(st.text("abc ", max_size=10), st.text("abc ", max_size=10))
def test_character_errors_are_the_edit_distance_without_spaces(reference: str, hypothesis: str) -> None:
    ref, hyp = reference.replace(" ", ""), hypothesis.replace(" ", "")
    counts = character_errors(reference, hypothesis, spaced)

    assert counts.errors == edit_distance(list(ref), list(hyp))
    assert counts.reference_length == len(ref)


def test_each_kind_of_edit_is_counted() -> None:
    counts = word_errors("turn on the kitchen light now", "turn off the light now please", spaced)

    assert counts == ErrorCounts(reference_length=6, substitutions=1, deletions=1, insertions=1)
    assert counts.rate == pytest.approx(0.5)


@given(words)
def test_words_that_nobody_said_are_insertions(hypothesis: str) -> None:
    assert word_errors("", hypothesis, spaced) == ErrorCounts(insertions=len(hypothesis.split()))


def test_the_rate_without_a_reference_is_the_count_of_insertions() -> None:
    assert word_errors("", "", spaced).rate == 0
    assert word_errors("...", "thank you", basic).rate == 2


@given(st.lists(st.tuples(words, words), max_size=4))
def test_counts_add_up_over_clips(pairs: list[tuple[str, str]]) -> None:
    counts = [word_errors(r, h, spaced) for r, h in pairs]
    total = sum(counts, start=ErrorCounts())

    assert total.errors == sum(c.errors for c in counts)
    assert total.reference_length == sum(len(r.split()) for r, _ in pairs)


@given(st.text(max_size=60))
def test_basic_is_idempotent(text: str) -> None:
    assert basic(basic(text)) == basic(text)


@given(st.text(max_size=60))
def test_spaced_is_idempotent(text: str) -> None:
    assert spaced(spaced(text)) == spaced(text)


SENTENCES = [
    "Turn on the kitchen light.",
    "Don't call 9,999 at half past two!",
    "Mr. Smith's colour TV cost $20.50.",
    "nine five five, oh two",
    "It's the twenty-first of May.",
    "I'd've said: we'll gonna see...",
    "",
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_english_is_idempotent(sentence: str) -> None:
    assert english(english(sentence)) == english(sentence)


def test_english_splits_numbers_into_digits() -> None:
    assert whisper_english("nine five five") == "955"
    assert english("nine five five") == "9 5 5"
    assert word_errors("nine five five", "nine five four", english).rate == pytest.approx(1 / 3)
    assert word_errors("nine five five", "nine five four", whisper_english).rate == 1


def test_english_forgives_case_punctuation_spelling_and_contractions() -> None:
    assert english("I'm in the COLOUR room.") == english("i am in the color room")


def test_english_leaves_no_words_of_points() -> None:
    assert english("we will see...") == "we will see"


def test_basic_lowers_and_drops_punctuation() -> None:
    assert basic("¿Dónde está -- la luz?") == "dónde está la luz"


def test_basic_keeps_apostrophes_inside_words_of_either_shape() -> None:
    assert basic("L\u2019eau d'Or 'quoted'") == "l'eau d'or quoted"


def test_basic_keeps_combining_marks() -> None:
    hindi = "रसोई की बत्ती जलाओ"

    assert basic(f"{hindi}।") == hindi


def test_a_joiner_inside_a_word_does_not_cut_it() -> None:
    assert basic("क्\u200dष") == "क्ष"
    assert len(basic("می\u200c\u062e\u0648\u0627\u0647\u0645").split()) == 1
    assert basic("soft\u00adhyphen") == "softhyphen"


def test_composed_and_decomposed_letters_are_the_same() -> None:
    assert basic("caf\u00e9") == basic("cafe\u0301")


def test_chinese_is_scored_by_character() -> None:
    assert by_character("zh")
    assert not by_character("en")
    assert not by_character(None)

    counts = character_errors("打开厨房的灯。", "打开 厨房灯", normaliser("zh"))

    assert counts == ErrorCounts(reference_length=6, deletions=1)


@pytest.mark.parametrize(
    ("language", "name", "text", "expected"),
    [
        ("en", "auto", "Colour, two", "color 2"),
        (None, "auto", "Colour, two", "color 2"),
        ("de", "auto", "Zwei, drei!", "zwei drei"),
        ("en", "basic", "Colour, two", "colour two"),
        ("de", "whisper-english", "Colour, two two", "color 22"),
        ("de", "english", "two two", "2 2"),
        ("en", "none", " Colour,\n two ", "Colour, two"),
    ],
)
def test_the_normaliser_follows_the_language_unless_it_is_named(
    language: str | None, name: str, text: str, expected: str
) -> None:
    assert normaliser(language, name)(text) == expected  # type: ignore[arg-type]  # names from the table


def test_repeated_ngrams_are_counted_beyond_their_first_time() -> None:
    assert repeated_ngrams("a b c d e f g") == 0
    assert repeated_ngrams("light like a " * 5, n=3) == 13 - 3
    assert repeated_ngrams("too short", n=5) == 0


@given(st.integers(2, 30))
def test_a_loop_repeats_all_but_its_first_ngram(times: int) -> None:
    assert repeated_ngrams("go " * times, n=1) == times - 1


def test_a_loop_compresses_better_than_speech() -> None:
    assert compression_ratio("I have to like a light " * 20) > 2.4
    assert compression_ratio("Turn on the kitchen light at half past seven, please.") < 2.4
    assert compression_ratio("") == 0
