import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.text import (
    ErrorCounts,
    Normaliser,
    basic,
    character_errors,
    compression_ratio,
    english,
    error_counts,
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
def test_words_that_were_not_spoken_are_insertions(hypothesis: str) -> None:
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


LANGUAGES = ["tr", "vi", "haw", "uz", "hi", "ml", "yi", "ur", "ru", "th", None]


@given(
    st.text(max_size=60)
    | st.text("oaeuy\u0300\u0301'g \u0e40\u0e4d\u0e48\u0e32\u0928\u094d\u0924\u200d", max_size=20)
)
def test_basic_is_idempotent(text: str) -> None:
    for language in LANGUAGES:
        normalise: Normaliser = normaliser(language, "basic")
        assert normalise(normalise(text)) == normalise(text)


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


@pytest.mark.parametrize(
    ("digits", "spoken"),
    [
        ("007", "zero zero seven"),
        ("02", "oh two"),
        ("call 0 1 2", "call zero one two"),
        ("2023-01-05", "2023 zero one zero five"),
        ("2 1", "two one"),
        ("3.05 and 1,005", "three point zero five and one thousand and five"),
        ("21st", "twenty-first"),
        ("919-696-3901", "nine one nine six nine six three nine zero one"),
        ("the 1s", "the ones"),
    ],
)
def test_digits_are_equal_to_their_words_leading_zeros_too(digits: str, spoken: str) -> None:
    assert english(digits) == english(spoken)


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


EQUAL = [
    ("en", "don\u2019t", "don't"),
    ("en", "don\u02bct", "DON'T"),
    ("en", "caf\u00e9", "cafe\u0301"),
    ("fr", "l\u2019\u00e9cole", "L'e\u0301cole"),
    ("uk", "\u043f\u02bc\u044f\u0442\u044c", "\u043f'\u044f\u0442\u044c"),
    ("uz", "o\u02bbzbek", "o\u2018zbek"),
    ("de", "Stra\u00dfe", "STRASSE"),
    ("el", "\u03c3\u03bf\u03c6\u03cc\u03c2", "\u03a3\u039f\u03a6\u038c\u03a3"),
    ("tr", "\u0130stanbul I\u015f\u0131k", "istanbul \u0131\u015f\u0131k"),
    ("tr", "I\u0307stanbul", "istanbul"),
    ("de", "\u0130stanbul", "istanbul"),
    ("vi", "Ti\u1ebfng Vi\u1ec7t", "tie\u0302\u0301ng vie\u0323\u0302t"),
    ("ko", "\ud55c\uad6d", "\u1112\u1161\u11ab\u1100\u116e\u11a8"),
    ("he", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
    ("ar", "\u0643\u0650\u062a\u064e\u0627\u0628", "\u0643\u062a\u0640\u0627\u0628"),
    ("ar", "\u0623\u0646\u0627", "\u0627\u0654\u0646\u0627"),
    ("hi", "\u095b", "\u091c\u093c"),
    ("hi", "\u0967\u0968", "12"),
    ("bn", "\u0995\u09cb", "\u0995\u09c7\u09be"),
    ("ja", "\uff76\uff9e\uff21", "\u30ac\uff41"),
    ("th", "\u0e17\u0e33", "\u0e17\u0e4d\u0e32"),
    ("en", "don\u201bt won\u00b4t can`t", "don't won't can't"),
    ("en", "co\u00adoperate zero\u200bwidth", "cooperate zerowidth"),
    ("en", "\ufb01ne \uff2f\uff2b", "fine OK"),
    ("de", "schlie\u00dft\u2019s", "SCHLIESST\u2032S"),
    ("fr", "c\u0153ur", "coeur"),
    ("ro", "\u015ftiin\u0163\u0103", "\u0219tiin\u021b\u0103"),
    ("ru", "\u0435\u0449\u0451 \u0401\u043b\u043a\u0430", "\u0435\u0449\u0435 \u0435\u043b\u043a\u0430"),
    ("vi", "h\u00f2a kh\u1ecfe th\u1ee7y", "ho\u00e0 kho\u1ebb thu\u1ef7"),
    ("haw", "\u02bb\u0101ina Hawai\u2018i", "\u2019\u0101ina Hawai'i"),
    ("uz", "bog\u02bb", "bog'"),
    ("az", "ILI\u011e \u0130DMAN", "\u0131l\u0131\u011f idman"),
    ("hy", "\u0587", "\u0565\u0582"),
    ("ka", "\u1c97\u1c91\u1c98\u1c9a\u1c98\u1ca1\u1c98", "\u10d7\u10d1\u10d8\u10da\u10d8\u10e1\u10d8"),
    ("fa", "\u0643\u062a\u0627\u0628\u064a", "\u06a9\u062a\u0627\u0628\u06cc"),
    ("fa", "\u0645\u06cc\u200c\u0631\u0648\u0645", "\u0645\u06cc\u0631\u0648\u0645"),
    ("fa", "\u06f1\u06f2", "12"),
    ("ur", "\u0643\u0647\u0627\u0646\u064a", "\u06a9\u06c1\u0627\u0646\u06cc"),
    ("ar", "\ufefb", "\u0644\u0627"),
    ("hi", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0902\u0926\u0940"),
    ("hi", "\u0938\u092e\u094d\u092c\u0928\u094d\u0927", "\u0938\u0902\u092c\u0902\u0927"),
    ("hi", "\u0926\u0941:\u0916", "\u0926\u0941\u0903\u0916"),
    ("ml", "\u0d05\u0d35\u0d28\u0d4d\u200d", "\u0d05\u0d35\u0d7b"),
    ("bn", "\u09a4\u09cd\u200d", "\u09ce"),
    ("ta", "\u0b95\u0bca", "\u0b95\u0bc6\u0bbe"),
    ("th", "\u0e40\u0e40\u0e21\u0e48", "\u0e41\u0e21\u0e48"),
    ("th", "\u0e19\u0e49\u0e33", "\u0e19\u0e4d\u0e49\u0e32"),
    ("lo", "\u0e99\u0ec9\u0eb3", "\u0e99\u0ecd\u0ec9\u0eb2"),
    ("km", "\u1781\u17d2\u1798\u17c2\u179a\u200b", "\u1781\u17d2\u1798\u17c2\u179a"),
    ("zh", "\u845b\U000e0100\uff0c", "\u845b"),
    ("es", "\u2764\ufe0f s\u00ed", "si\u0301"),
    *((language, "i\u0307stanbul", "istanbul") for language in ("tr", "az", "en", "de", "lt")),
    ("tr", "\u0130stanbul".lower(), "\u0130STANBUL"),
    ("th", "\u0e17\u0e48\u0e35", "\u0e17\u0e35\u0e48"),
    ("th", "\u0e2a\u0e34\u0e17\u0e18\u0e4c\u0e34", "\u0e2a\u0e34\u0e17\u0e18\u0e34\u0e4c"),
    ("th", "\u0e01\u0e49\u0e31\u0e19 \u0e14\u0e49\u0e39", "\u0e01\u0e31\u0e49\u0e19 \u0e14\u0e39\u0e49"),
    ("lo", "\u0e97\u0ec8\u0eb5", "\u0e97\u0eb5\u0ec8"),
    ("mr", "\u0906\u0928\u0928\u094d\u0926", "\u0906\u0928\u0902\u0926"),
    ("ne", "\u0905\u0919\u094d\u0915", "\u0905\u0902\u0915"),
    ("gu", "\u0a97\u0abe\u0aa8\u0acd\u0aa7\u0ac0", "\u0a97\u0abe\u0a82\u0aa7\u0ac0"),
    ("te", "\u0c17\u0c3e\u0c28\u0c4d\u0c27\u0c3f", "\u0c17\u0c3e\u0c02\u0c27\u0c3f"),
    (
        "kn",
        "\u0c97\u0cbe\u0ca8\u0ccd\u0ca7\u0cbf",
        "\u0c97\u0cbe\u0c82\u0ca7\u0cbf",
    ),
    ("ar", "\u0671\u0644\u0643\u062a\u0627\u0628", "\u0627\u0644\u0643\u062a\u0627\u0628"),
    ("ar", "\u06a9\u062a\u0627\u0628\u06cc", "\u0643\u062a\u0627\u0628\u064a"),
    ("ps", "\u0643\u0648\u0631", "\u06a9\u0648\u0631"),
    ("ps", "\u06af\u0631\u0645", "\u06ab\u0631\u0645"),
    ("fa", "\u062e\u0627\u0646\u06c0", "\u062e\u0627\u0646\u0647\u0654"),
    ("ur", "\u062e\u0627\u0646\u06c0", "\u062e\u0627\u0646\u06c1\u0654"),
    ("yi", "\u05f0\u05d0\u05b8\u05e1", "\u05d5\u05d5\u05d0\u05b8\u05e1"),
    ("yi", "\u05d4\u05f1\u05d6", "\u05d4\u05d5\u05d9\u05d6"),
    ("yi", "\u05d6\u05f2\u05b7\u05df", "\u05d6\u05d9\u05d9\u05b7\u05df"),
    ("yi", "\u05d6\ufb1f\u05df", "\u05d6\u05d9\u05d9\u05b7\u05df"),
    ("el", "\u03b1\u03c0\u1ffd \u03b1\u03c5\u03c4\u03cc", "\u03b1\u03c0\u2019 \u03b1\u03c5\u03c4\u03cc"),
    ("el", "\u03b1\u03c0\u1fbd \u03b1\u03c5\u03c4\u03cc", "\u03b1\u03c0' \u03b1\u03c5\u03c4\u03cc"),
]
UNEQUAL = [
    ("fr", "a", "\u00e0"),
    ("tr", "\u0131l\u0131k", "ilik"),
    ("vi", "ma", "m\u00e1"),
    ("ar", "\u0623\u0646", "\u0627\u0646"),  # the hamza is a letter's part, no vowel point
    ("hi", "\u0915\u093f", "\u0915\u0940"),
    ("hi", "\u091c", "\u091c\u093c"),
    ("ta", "\u0b95\u0bc8", "\u0b95"),
    ("ja", "\u304b", "\u304c"),
    ("th", "\u0e21\u0e32", "\u0e21\u0e49\u0e32"),
    ("de", "schon", "sch\u00f6n"),
    ("ru", "\u043c\u043e\u0438", "\u043c\u043e\u0439"),
    ("be", "\u0435\u043b\u043a\u0430", "\u0451\u043b\u043a\u0430"),
    ("haw", "pau", "pa\u02bbu"),
    ("haw", "ai", "\u02bbai"),
    ("uz", "bog", "bog\u02bb"),
    ("yi", "\u05d0\u05b7", "\u05d0\u05b8"),
    ("vi", "c\u1ee7a", "cu\u1ea3"),
    ("ml", "\u0d05\u0d35\u0d28\u0d4d", "\u0d05\u0d35\u0d7b"),
    ("hi", "\u0939\u0902\u0938", "\u0939\u0901\u0938"),
    ("hi", "\u0905\u0928\u094d\u0928", "\u0905\u0928"),
    ("bn", "\u0995", "\u0995\u09be"),
    ("te", "\u0c15\u0c3f", "\u0c15\u0c40"),
    ("my", "\u1000\u102c", "\u1000\u102b\u1038"),
    ("km", "\u1780\u17b6", "\u1780\u17b7"),
    ("ko", "\uac00", "\uac01"),
    ("ps", "\u0633\u0693\u064a", "\u0633\u0693\u06cc"),  # men, and man
    ("mr", "\u0905\u0928\u094d\u0928", "\u0905\u0902\u0928"),
    ("el", "\u03c0\u03cc\u03c4\u03b5", "\u03c0\u03bf\u03c4\u03ad"),  # when, and never
    ("ckb", "\u0628\u06d5", "\u0628\u0647"),
    ("th", "\u0e17\u0e35", "\u0e17\u0e35\u0e48"),
    ("yi", "\u05d9\u05d9\u05b7", "\u05d9\u05d9"),
]


@pytest.mark.parametrize(("language", "one", "other"), EQUAL)
def test_texts_that_a_reader_takes_for_the_same_are_equal(language: str, one: str, other: str) -> None:
    normalise = normaliser(language)

    assert normalise(one) == normalise(other) != ""
    assert normalise(normalise(one)) == normalise(one)


@pytest.mark.parametrize(("language", "one", "other"), UNEQUAL)
def test_marks_that_carry_meaning_stay(language: str, one: str, other: str) -> None:
    assert normaliser(language)(one) != normaliser(language)(other)


@pytest.mark.parametrize(
    ("language", "reference", "hypothesis", "expected"),
    [
        (
            "zh",
            "\u6253\u5f00\u53a8\u623f\u7684\u706f\u3002",
            "\u6253\u5f00 \u53a8\u623f\u706f",
            ErrorCounts(6, deletions=1),
        ),
        ("ja", "\u4eca\u65e5\u306f\u6674\u308c", "\u4eca\u65e5\u306f\u96e8", ErrorCounts(5, 1, 1)),
        (
            "th",
            "\u0e1b\u0e34\u0e14\u0e44\u0e1f",
            "\u0e40\u0e1b\u0e34\u0e14\u0e44\u0e1f",
            ErrorCounts(5, insertions=1),
        ),
        ("en", "Turn on, please", "turn off please", ErrorCounts(3, 1)),
        (None, "Turn on, please", "turn off please", ErrorCounts(3, 1)),
    ],
)
def test_each_language_is_scored_in_its_own_units(
    language: str | None, reference: str, hypothesis: str, expected: ErrorCounts
) -> None:
    assert error_counts(reference, hypothesis, language) == expected


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
    assert repeated_ngrams("\u4e00\u4e8c\u4e09" * 2, n=3, language="zh") == 1


@given(st.integers(2, 30))
def test_a_loop_repeats_all_but_its_first_ngram(times: int) -> None:
    assert repeated_ngrams("go " * times, n=1) == times - 1


def test_a_loop_compresses_better_than_speech() -> None:
    assert compression_ratio("I have to like a light " * 20) > 2.4
    assert compression_ratio("Turn on the kitchen light at half past seven, please.") < 2.4
    assert compression_ratio("") == 0


def test_traditional_and_simplified_characters_are_scored_alike_where_that_is_asked() -> None:
    pytest.importorskip("opencc", reason="needs opencc: pip install opencc")
    simplified, basic = (normaliser("zh", name) for name in ("simplified-chinese", "basic"))

    assert simplified("頭髮\uff0c出發") == simplified("头发 出发")
    assert basic("頭髮\uff0c出發") != basic("头发 出发")
    assert normaliser("ja", "simplified-chinese")("電車") == "電車"
