import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.streaming.agreement import (
    Agreement,
    Fit,
    Policy,
    ended_before,
    match_key,
    normalize_words,
    strip_punctuation,
)
from voxray.streaming.events import Hypothesis, HypothesisWord


def words(text: str, word_s: float = 0.5) -> tuple[HypothesisWord, ...]:
    """The words of `text`, each `word_s` long."""
    return tuple(
        HypothesisWord(" " + word, i * word_s, (i + 1) * word_s) for i, word in enumerate(text.split())
    )


def agreement_of(*texts: str, policy: Policy = Policy.AGREEMENT, length_s: float = 10.0) -> Agreement:
    """An agreement after hypotheses `texts`, with all committed words sent."""
    agreement = Agreement(policy)
    for text in texts:
        agreement.update(words(text), length_s)
        agreement.sent = len(agreement.committed)
    return agreement


@pytest.mark.parametrize(
    ("word", "folded"),
    [
        (" Kitchen,", "kitchen"),
        ("“Straße”", "strasse"),
        ("don't", "don't"),
        (" —", ""),
        ("C++.", "c++"),
        ("¿Qué?", "qué"),
    ],
)
def test_words_compare_folded_and_without_edge_punctuation(word: str, folded: str) -> None:
    assert match_key(word) == folded


def test_commits_common_prefix_of_two_hypotheses() -> None:
    assert agreement_of("turn on").stable == ""
    assert agreement_of("turn on the", "turn on the kitchen light").stable == "turn on the"


def test_stops_at_the_first_word_that_differs() -> None:
    assert agreement_of("turn on the light now", "turn off the light now please").stable == "turn"


def test_the_newest_hypothesis_decides_how_words_look() -> None:
    assert agreement_of("turn on now", "Turn ON now please").stable == "Turn ON now"


def test_the_last_word_of_a_hypothesis_is_not_committed() -> None:
    assert agreement_of("turn on", "turn on").stable == "turn"


def test_punctuation_after_the_last_committed_word_waits_for_the_next() -> None:
    agreement = agreement_of("yes, please do", "yes, please do")
    assert agreement.stable == "yes, please"

    agreement = agreement_of("yes, please, do", "yes, please, do")
    assert agreement.stable == "yes, please"
    assert agreement.unstable(words("yes, please, do")) == ", do"

    agreement.update(words("yes, please, do it"), 10.0)
    assert agreement.stable == "yes, please, do"


def test_a_word_of_punctuation_alone_is_not_the_last_committed() -> None:
    assert agreement_of("yes - please", "yes - please").stable == "yes"
    assert agreement_of("yes - please", "yes - please", "yes - please do").stable == "yes - please"


def test_stable_and_unstable_together_are_the_text() -> None:
    agreement = agreement_of("turn on the light", "turn on the lights.")
    text = words("turn on the lights.")

    assert agreement.stable + agreement.unstable(text) == "turn on the lights."


def test_committed_words_are_forced_as_the_engine_wrote_them() -> None:
    assert agreement_of("turn on the", "turn on the light").prefix == " turn on the"


def test_text_without_spaces_is_committed_by_character() -> None:
    agreement = Agreement()
    for text in ("你好世", "你好世界"):
        agreement.update(tuple(HypothesisWord(c) for c in text), 10.0)

    assert agreement.stable == "你好世"
    assert agreement.prefix == "你好世"


def test_half_a_word_that_the_client_has_not_seen_is_given_up() -> None:
    agreement = Agreement()
    agreement.update(words("one six two"), 10.0)
    agreement.update(words("one six two"), 10.0)
    assert agreement.fit(words("one sixteen")) is Fit.INSIDE

    agreement.shorten()

    assert agreement.stable == "one"
    assert agreement.prefix == " one"


def test_half_a_word_that_the_client_has_seen_stays_and_is_not_forced_until_another_follows() -> None:
    agreement = agreement_of("one six two", "one six two")
    agreement.shorten()
    assert agreement.stable == "one six"
    assert agreement.prefix == " one"

    assert agreement.fit(words("one")) is Fit.WHOLE
    assert agreement.fit(words("one sixteen kids")) is Fit.WHOLE
    assert agreement.fit(words("two sixteen kids")) is Fit.MISFIT
    agreement.update(words("one sixteen kids"), 10.0)
    assert agreement.stable == "one six"
    assert agreement.unstable(words("one sixteen kids")) == " kids"
    assert "".join(w.text for w in agreement.aligned(words("one sixteen kids"))) == " one six kids"

    agreement.update(words("one sixteen kids came"), 10.0)
    assert agreement.stable == "one six kids"
    assert agreement.prefix == " one six kids"


def test_punctuation_alone_does_not_make_another_word() -> None:
    assert agreement_of("one six two", "one six two").fit(words("one six, two")) is Fit.WHOLE


@pytest.mark.parametrize("text", ["", "one", "two six", "one seven", "six"])
def test_a_hypothesis_that_does_not_begin_with_the_committed_words_is_a_misfit(text: str) -> None:
    assert agreement_of("one six two", "one six two").fit(words(text)) is Fit.MISFIT


def test_attention_keeps_words_that_end_half_a_second_before_the_audio() -> None:
    assert agreement_of("turn on the light", policy=Policy.ATTENTION, length_s=2.0).stable == "turn on the"
    assert agreement_of("turn on the light", policy=Policy.ATTENTION, length_s=1.9).stable == "turn on"


def test_attention_commits_nothing_without_times() -> None:
    agreement = Agreement(Policy.ATTENTION)
    agreement.update((HypothesisWord(" turn"), HypothesisWord(" on")), 10.0)

    assert agreement.stable == ""


def test_words_after_one_without_an_end_are_not_known_to_have_ended() -> None:
    words = (HypothesisWord("a", 0, 1), HypothesisWord("b", 1, float("nan")), HypothesisWord("c", 2, 3))

    assert ended_before(words, 9.0) == 1


def test_normalized_words_have_text_and_at_most_one_space() -> None:
    words = (HypothesisWord("  new  York "), HypothesisWord(" "), HypothesisWord(""), HypothesisWord("x\n"))

    assert [w.text for w in normalize_words(Hypothesis(words))] == [" new York", "x"]


@given(st.text())
def test_strip_punctuation_gives_a_prefix_and_leaves_nothing_to_strip(word: str) -> None:
    assert word.startswith(strip_punctuation(word))
    assert strip_punctuation(strip_punctuation(word)) == strip_punctuation(word)


@given(
    st.sampled_from(Policy),
    st.lists(st.lists(st.sampled_from(["a", "a,", "b", "B.", "ab", "-", "c"]), max_size=6), max_size=12),
    st.lists(st.booleans(), min_size=1, max_size=12),
)
def test_stable_only_grows(policy: Policy, texts: list[list[str]], sent: list[bool]) -> None:
    agreement, stable = Agreement(policy), ""
    for i, text in enumerate(texts):
        hypothesis = words(" ".join(text), 0.2)
        if agreement.fit(hypothesis) is Fit.WHOLE:
            agreement.update(hypothesis, 1.5)
        elif agreement.fit(hypothesis) is Fit.INSIDE:
            agreement.shorten()
        assert agreement.stable.startswith(stable)
        if sent[i % len(sent)]:
            agreement.sent, stable = len(agreement.committed), agreement.stable


def test_a_probable_hypothesis_commits_what_ended_half_a_second_ago_by_itself() -> None:
    agreement = Agreement()
    allowed = agreement.update(words("turn on the light now", 0.5), 2.0, probable=True)

    assert (agreement.stable, allowed) == ("turn on the", 3)


def test_an_improbable_hypothesis_needs_another() -> None:
    agreement = Agreement()

    assert agreement.update(words("turn on the light now", 0.5), 9.0) == 0
