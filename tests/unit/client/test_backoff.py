import pytest

from voxray.client.backoff import Backoff, RetryPolicy
from voxray.serving.gateway.host_client import TickSchedule


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_it_outlasts_a_killed_proxy_and_ends(jitter: float) -> None:
    backoff, now_s, tries = Backoff(RetryPolicy(), lambda: jitter), 100.0, list[float]()
    while (delay_s := backoff.delay_s(now_s)) is not None:
        now_s += delay_s
        tries.append(now_s - 100.0)

    assert sum(t < 27 for t in tries) >= 8
    assert 55 < tries[-1] <= 60
    assert len(tries) < 40


def test_an_opening_outlasts_an_actor_that_has_to_be_started() -> None:
    assert RetryPolicy().opening_s > TickSchedule().placement_timeout_s


def test_it_begins_again_once_a_loss_was_made_good() -> None:
    backoff = Backoff(RetryPolicy(), lambda: 1.0)
    first = [backoff.delay_s(now_s) for now_s in (0.0, 1.0, 2.0)]
    backoff.recovered()

    assert first == [0.25, 0.5, 1.0]
    assert backoff.delay_s(59.9) == 0.25
    assert backoff.delay_s(119.0) == 0.5
