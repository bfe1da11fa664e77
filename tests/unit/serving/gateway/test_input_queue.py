from hypothesis import given
from hypothesis import strategies as st

from voxray.serving.gateway.input_queue import (
    CONTAINER_BYTES,
    MAX_BATCH_BYTES,
    Admission,
    InputQueue,
)
from voxray.serving.protocol import Control
from voxray.serving.settings import Limits
from voxray.serving.token_bucket import TokenBucket
from voxray.wire import MAX_CREDIT_BYTES

SECOND = 32_000  # bytes of 16 kHz s16le
LIMITS = Limits()


def queue_with(credit: int | None = None, rate: int | None = SECOND, limits: Limits = LIMITS) -> InputQueue:
    queue = InputQueue(rate, limits)
    if credit is not None:
        queue.set_credit(credit)
    return queue


def send(into: InputQueue, seconds: float, at_s: float = 0.0, step_s: float = 1.0) -> Admission:
    """`seconds` of audio one step after another, at once; the last admission."""
    admission = Admission.ACCEPTED
    for _ in range(round(seconds / step_s)):
        admission = into.receive_audio(bytes(round(SECOND * step_s)), at_s)
    return admission


def test_audio_goes_on_as_the_credit_allows() -> None:
    queue = queue_with(credit=10)
    queue.receive_audio(bytes(range(25)), 0.0)

    assert queue.pop_batch() == (bytes(range(10)),)
    assert queue.pop_batch() == ()
    queue.set_credit(100)
    assert queue.pop_batch() == (bytes(range(10, 25)),)
    assert queue.credit == 85
    assert not queue


def test_controls_keep_their_place_between_the_audio() -> None:
    queue = queue_with(credit=5)
    queue.receive_audio(b"abc", 0.0)
    queue.receive_finalize(0.0)
    queue.receive_audio(b"defg", 0.0)
    queue.receive_stop()

    assert queue.pop_batch() == (b"abc", Control(stop=False), b"de")
    queue.set_credit(5)
    assert queue.pop_batch() == (b"fg", Control(stop=True))


def test_controls_cost_no_credit() -> None:
    queue = queue_with(credit=0)
    queue.receive_finalize(0.0)

    assert queue.pop_batch() == (Control(stop=False),)


def test_a_minute_may_come_at_once_and_no_more() -> None:
    queue = queue_with()

    assert send(queue, 30) is Admission.ACCEPTED  # the credit of a new session
    assert send(queue, 30) is Admission.ACCEPTED  # what waits here
    assert send(queue, 1) is Admission.TOO_FAST
    assert queue.waiting == 60 * SECOND


def test_a_live_source_that_is_not_followed_lags() -> None:
    queue = queue_with(credit=0)
    admissions = [send(queue, 1, at_s=at) for at in range(31)]

    assert admissions == [Admission.ACCEPTED] * 30 + [Admission.LAGGING]


def test_three_times_real_time_lags_and_ten_times_is_too_fast() -> None:
    thrice, tenfold = queue_with(credit=0), queue_with(credit=0)

    assert [send(thrice, 1, at_s=i / 3) for i in range(31)][-1] is Admission.LAGGING
    assert [send(tenfold, 1, at_s=i / 10) for i in range(31)][-1] is Admission.TOO_FAST


def test_any_speed_is_right_within_the_credit() -> None:
    queue = queue_with()
    for _ in range(1_000):
        assert send(queue, 30) is Admission.ACCEPTED
        while queue:
            queue.pop_batch()
        queue.set_credit(30 * SECOND)


def test_a_replay_within_the_credit_leaves_the_allowance_whole() -> None:
    queue = queue_with()
    send(queue, 30)
    queue.pop_batch()

    assert [send(queue, 1, at_s=at) for at in range(31)][-1] is Admission.LAGGING


def test_containers_wait_up_to_4_mib_beyond_the_credit() -> None:
    queue = queue_with(credit=0, rate=None)

    assert queue.receive_audio(bytes(CONTAINER_BYTES), 0.0) is Admission.ACCEPTED
    assert queue.receive_audio(b"x", 0.0) is Admission.TOO_FAST


def test_a_claimed_rate_does_not_claim_memory() -> None:
    assert queue_with(rate=384_000 * 32 * 4).capacity == 16 << 20


def test_one_client_does_not_fill_a_tick() -> None:
    queue = queue_with(rate=384_000 * 32 * 4)
    assert queue.credit == MAX_CREDIT_BYTES
    assert queue.receive_audio(bytes(MAX_CREDIT_BYTES), 0.0) is Admission.ACCEPTED
    queue.receive_stop()
    ticks = [queue.pop_batch() for _ in range(MAX_CREDIT_BYTES // MAX_BATCH_BYTES)]

    assert all(len(part) == MAX_BATCH_BYTES for part, *_ in ticks if isinstance(part, bytes))
    assert ticks[-1][1:] == (Control(stop=True),)
    assert not queue


def test_finalizes_are_few() -> None:
    queue = queue_with(limits=Limits(finalizes_per_s=2))

    assert [queue.receive_finalize(0.0) for _ in range(3)] == [
        Admission.ACCEPTED,
        Admission.ACCEPTED,
        Admission.TOO_FAST,
    ]


def test_tiny_frames_are_one_item() -> None:
    queue = queue_with()
    for _ in range(1_000):
        queue.receive_audio(b"x", 0.0)

    assert queue.pop_batch() == (b"x" * 1_000,)


def test_nothing_is_left_of_what_is_dropped() -> None:
    queue = queue_with()
    send(queue, 1)
    queue.receive_stop()
    queue.clear()

    assert not queue
    assert (queue.pop_batch(), queue.waiting) == ((), 0)


def test_an_overdrawn_bucket_fills_up_from_below_zero() -> None:
    bucket = TokenBucket(per_s=1, burst=2)

    assert bucket.consume(2, 0.0)
    assert not bucket.consume(3, 0.0)
    assert not bucket.consume(1, 3.0)
    assert bucket.consume(0, 4.0)
    assert not bucket.consume(3, 100.0)  # it never holds more than the burst


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), st.integers(0, 400)),
        st.tuples(st.just("credit"), st.integers(0, 600)),
        st.tuples(st.just("finalize"), st.just(0)),
        st.tuples(st.just("take"), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_what_goes_on_is_what_came_in_order_and_within_the_credit(steps: list[tuple[str, int]]) -> None:
    limits = Limits(finalizes_per_s=1e6, undecoded_s=15)
    queue = InputQueue(20, limits)  # 300 bytes of room
    received, popped, byte = list[int](), list[int](), 0
    for kind, n in steps:
        if kind == "audio":
            data = bytes((byte + i) % 256 for i in range(n))
            if queue.receive_audio(data, 0.0) is Admission.ACCEPTED:
                received += data
                byte += n
        elif kind == "credit":
            queue.set_credit(n)
        elif kind == "finalize":
            queue.receive_finalize(0.0)
            received.append(-1)
        else:
            allowed = queue.credit
            taken = queue.pop_batch()
            assert sum(len(t) for t in taken if isinstance(t, bytes)) <= allowed
            popped += [b for t in taken for b in (t if isinstance(t, bytes) else [-1])]
        assert popped == received[: len(popped)]
        assert queue.waiting == sum(b >= 0 for b in received) - sum(b >= 0 for b in popped)
    queue.set_credit(1_000_000)
    popped += [b for t in queue.pop_batch() for b in (t if isinstance(t, bytes) else [-1])]
    assert popped == received


@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.integers(0, 30)), max_size=80))
def test_real_time_is_never_too_fast_and_waits_within_bounds(steps: list[tuple[float, int]]) -> None:
    queue, now_s = queue_with(), 0.0
    for passed_s, credit_s in steps:
        now_s += passed_s
        assert queue.receive_audio(bytes(int(passed_s * SECOND)), now_s) is not Admission.TOO_FAST
        assert queue.waiting <= queue.credit + queue.capacity
        queue.pop_batch()
        queue.set_credit(credit_s * SECOND)
