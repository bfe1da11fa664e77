import pytest

from voxray.streaming.agreement import Agreement
from voxray.streaming.events import HypothesisWord
from voxray.streaming.utterance import Utterance, cut_after

WORDS = (HypothesisWord(" a", 0.0, 0.5), HypothesisWord(" b", 0.5, 1.0), HypothesisWord(" c", 1.5, 2.0))


@pytest.mark.parametrize(
    ("count", "length_s", "at_s"),
    [
        (1, 4.0, 0.5),
        (2, 4.0, 1.25),
        (3, 4.0, 2.0),
        (2, 2.0, 1.0),
        (2, 1.9, None),
        (0, 4.0, None),
        (4, 4.0, None),
    ],
)
def test_cuts_between_two_words_and_a_second_before_the_end(
    count: int, length_s: float, at_s: float | None
) -> None:
    assert cut_after(WORDS, count, length_s, 1.0) == (None if at_s is None else at_s * 16_000)


def test_no_cut_where_a_word_has_no_times() -> None:
    assert cut_after((HypothesisWord(" a"), *WORDS), 2, 9.0, 1.0) is None


def test_what_is_left_after_a_cut_is_a_new_segment_with_times_of_its_own() -> None:
    u = Utterance(1000, 2000, Agreement(), decoded=1000)
    u.segment, u.end_sent, u.best, u.shown = 3, True, WORDS, ("a b", " c")
    u.agreement.committed = [" a", " b"]

    u.restart(1000 + 16_000, 2, 50_000, overlap=True)

    assert (u.start, u.onset, u.decoded, u.asked) == (17_000, 17_000, 17_000, 50_000)
    assert u.segment is None
    assert (u.end_sent, u.shown) == (False, ("", ""))
    assert u.best == u.agreement.previous == (HypothesisWord(" c", 0.5, 1.0),)
    assert u.agreement.stable == ""
