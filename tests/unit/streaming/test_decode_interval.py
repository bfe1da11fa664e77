import pytest

from voxray.streaming.decode_interval import DecodeInterval


def test_quick_answers_leave_the_interval_as_it_is() -> None:
    interval = DecodeInterval(0.5)
    for _ in range(9):
        interval.receive_answer(0.2)

    assert interval.seconds() == 0.5


@pytest.mark.parametrize(("took_s", "interval_s"), [(0.8, 1.0), (1.6, 2.0), (5.0, 6.0)])
def test_the_interval_is_five_quarters_of_the_time_of_an_answer_up_to_six_seconds(
    took_s: float, interval_s: float
) -> None:
    interval = DecodeInterval(0.5)
    for _ in range(20):
        interval.receive_answer(took_s)

    assert interval.seconds() == pytest.approx(interval_s, rel=0.01)


@pytest.mark.parametrize(("queued_s", "interval_s"), [(0.0, 0.5), (0.1, 1.05), (5.0, 6.0)])
def test_what_waits_for_others_lengthens_it_by_far_more(queued_s: float, interval_s: float) -> None:
    interval = DecodeInterval(0.5)
    for _ in range(20):
        interval.receive_answer(0.2, queued_s)

    assert interval.seconds() == pytest.approx(interval_s, rel=0.01)


def test_in_ongoing_speech_it_is_two_seconds_at_most() -> None:
    interval = DecodeInterval(0.5, answer_s=4.0)

    assert interval.seconds(ongoing=True) == 2.0


def test_it_recovers() -> None:
    interval = DecodeInterval(0.5, answer_s=4.0)
    for _ in range(6):
        interval.receive_answer(0.1)

    assert interval.seconds() == 0.5
