from collections.abc import Iterator
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.benchmarks.client_scores import (
    Arrival,
    ClientScore,
    Spread,
    aligned,
    hypothesis_words,
    normalised,
    quantile,
    score_client,
)
from tests.benchmarks.recordings import Utterance

from voxray.wire import Ack, Final, Partial

WORDS = st.sampled_from("one two five nine red house Monday garden".split())
TEXTS = st.lists(WORDS, min_size=1, max_size=7).map(" ".join)
SECONDS = st.floats(0.0, 5.0)


@st.composite
def utterances(draw: st.DrawFn) -> list[Utterance]:
    """One after another, with pauses that nobody could take for a part of a word."""
    texts = draw(st.lists(TEXTS, min_size=1, max_size=8))
    lengths = [(draw(st.floats(1.0, 3.0)), draw(st.floats(0.3, 4.0))) for _ in texts]
    starts = accumulate((pause + length for pause, length in lengths), initial=1.0)
    return [Utterance(s, s + length, t) for t, s, (_, length) in zip(texts, starts, lengths, strict=False)]


def segment(number: int, reference: Utterance, *, text: str | None = None) -> Final:
    return Final(
        number, reference.start_s - 0.2, reference.end_s + 0.1, reference.text if text is None else text
    )


def partial(number: int, reference: Utterance, stable: str, unstable: str = "") -> Partial:
    return Partial(number, reference.start_s - 0.2, reference.end_s, stable, unstable)


@given(utterances(), SECONDS)
def test_a_perfect_recogniser_has_exactly_its_delay(reference: list[Utterance], delay_s: float) -> None:
    score = score_client(
        reference, [Arrival(u.end_s + delay_s, segment(i, u)) for i, u in enumerate(reference)]
    )

    assert score.committed_s == score.final_s == pytest.approx([delay_s] * len(reference))
    assert (score.words.errors, score.missing_last_words, score.without_final) == (0, 0, 0)


@given(utterances(), SECONDS, SECONDS)
def test_words_are_committed_when_they_are_stable_and_not_before(
    reference: list[Utterance], delay_s: float, later_s: float
) -> None:
    def arrivals() -> Iterator[Arrival]:
        for i, u in enumerate(reference):
            *first, _ = u.text.split()
            yield Arrival(u.start_s + 0.1, partial(i, u, "", u.text))
            yield Arrival(u.start_s + 0.2, partial(i, u, " ".join(first), "soon"))
            yield Arrival(u.end_s + delay_s, partial(i, u, u.text))
            yield Arrival(u.end_s + delay_s + later_s, segment(i, u, text=u.text + "."))

    score = score_client(reference, list(arrivals()))

    assert score.committed_s == pytest.approx([delay_s] * len(reference))
    assert score.final_s == pytest.approx([delay_s + later_s] * len(reference))
    assert score.first_partial_s == pytest.approx([0.1] * len(reference))


@given(utterances(), SECONDS)
def test_cuts_in_other_places_do_not_matter(reference: list[Utterance], delay_s: float) -> None:
    """Two utterances in one segment: the last words of both come with its final."""
    glued = [reference[i : i + 2] for i in range(0, len(reference), 2)]
    finals = [
        Final(i, two[0].start_s, two[-1].end_s, " ".join(u.text for u in two)) for i, two in enumerate(glued)
    ]
    score = score_client(reference, [Arrival(f.end_s + delay_s, f) for f in finals])

    assert score.words.errors == 0
    assert [s for s in score.final_s if s > delay_s + 1e-6] == pytest.approx(
        [two[1].end_s - two[0].end_s + delay_s for two in glued if len(two) == 2]
    )


@given(utterances(), st.data())
def test_an_utterance_that_was_not_recognised_is_without_a_final(
    reference: list[Utterance], data: st.DataObject
) -> None:
    lost = data.draw(st.integers(0, len(reference) - 1))
    hypothesis = [Arrival(u.end_s + 1, segment(i, u)) for i, u in enumerate(reference) if i != lost]
    score = score_client(reference, hypothesis)

    assert score.without_final == 1
    assert score.missing_last_words == 1
    assert score.words.deletions == score.words.errors == len(normalised(reference[lost].text))
    assert score.final_s == pytest.approx([1.0] * (len(reference) - 1))


def test_a_lost_last_word_has_no_latency_though_its_like_comes_later() -> None:
    reference = [Utterance(1.0, 2.0, "four two"), Utterance(4.0, 5.0, "two nine")]
    hypothesis = [
        Arrival(2.5, segment(0, reference[0], text="four")),
        Arrival(5.5, segment(1, reference[1], text="two two nine")),
    ]
    score = score_client(reference, hypothesis)

    assert score.missing_last_words == 1
    assert score.without_final == 0
    assert score.final_s == (0.5,)


def test_twenty_is_not_yet_twenty_one() -> None:
    """2 0 and 2 1: that the counts agree does not mean that the words do."""
    reference = Utterance(0.0, 1.0, "twenty one")
    arrivals = [Arrival(0.7, partial(0, reference, "twenty")), Arrival(1.4, segment(0, reference))]
    words = list(hypothesis_words(arrivals))

    assert [(w.text, w.committed_s, w.final_s) for w in words] == [("2", 0.7, 1.4), ("1", 1.4, 1.4)]


def test_a_segment_that_begins_elsewhere_is_no_ones_first_partial() -> None:
    reference = Utterance(3.0, 4.0, "red house")
    early = Partial(0, 1.0, 2.0, "", "hum")
    empty = partial(1, reference, "")

    assert score_client([reference], [Arrival(2.0, early), Arrival(3.1, empty)]).first_partial_s == ()
    arrivals = [Arrival(3.1, empty), Arrival(3.6, partial(1, reference, "", "red"))]
    assert score_client([reference], arrivals).first_partial_s == pytest.approx([0.6])


def test_no_hypothesis_is_all_deletions() -> None:
    score = score_client([Utterance(0.0, 1.0, "one two three")], [])

    assert (score.words.deletions, score.words.rate) == (3, 1.0)
    assert (score.without_final, score.missing_last_words, score.final_s) == (1, 1, ())


def test_no_words_are_no_utterance() -> None:
    assert score_client([], []) == ClientScore()
    assert score_client([Utterance(0.0, 1.0, "...")], []) == ClientScore()


def test_verdicts_add_up_and_the_worst_lag_stays() -> None:
    reference = [Utterance(0.0, 1.0, "one two")]
    acks = [Arrival(0.1 * i, Ack(0, 0, 0, 0.0, lag_s)) for i, lag_s in enumerate((0.1, 0.7, 0.2))]
    one = score_client(reference, [*acks, Arrival(1.5, segment(0, reference[0]))])
    both = one + score_client(reference, [Arrival(2.0, segment(0, reference[0], text="one"))])

    assert both.utterances == 2
    assert both.committed_s == (0.5,)
    assert both.words.rate == 0.25
    assert both.lag_s == 0.7


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=40), st.floats(0.01, 1.0))
def test_a_quantile_is_one_of_the_times_and_the_smallest_that_reaches_its_share(
    times: list[int], share: float
) -> None:
    value = quantile(times, share)

    assert value in times
    assert sum(t <= value for t in times) >= share * len(times) - 1e-9
    assert sum(t < value for t in times) < share * len(times)


def test_a_spread_of_nothing_has_no_times() -> None:
    assert Spread.of(()) == Spread(0, None, None, None)
    assert Spread.of(range(1, 101)) == Spread(100, 50, 95, 100)


@given(st.lists(WORDS, max_size=12), st.lists(WORDS, max_size=12))
def test_words_are_aligned_in_order_and_each_but_once(reference: list[str], hypothesis: list[str]) -> None:
    places = [p for p in aligned(reference, hypothesis) if p is not None]

    assert places == sorted(set(places))
    assert all(0 <= p < len(hypothesis) for p in places)
    if reference == hypothesis:
        assert places == list(range(len(reference)))
