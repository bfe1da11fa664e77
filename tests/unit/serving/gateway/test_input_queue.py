from hypothesis import given
from hypothesis import strategies as st

from voxray.serving.gateway.input_queue import (
    CONTAINER_BYTES,
    MAX_TAKEN_BYTES,
    InputQueue,
    Verdict,
)
from voxray.serving.protocol import Control
from voxray.serving.settings import Limits
from voxray.serving.token_bucket import TokenBucket
from voxray.wire import MAX_CREDIT_BYTES

SECOND = 32_000  # bytes of 16 kHz s16le
LIMITS = Limits()


def inflow(credit: int | None = None, rate: int | None = SECOND, limits: Limits = LIMITS) -> InputQueue:
    made = InputQueue(rate, limits)
    if credit is not None:
        made.grant(credit)
    return made


def send(into: InputQueue, seconds: float, at_s: float = 0.0, step_s: float = 1.0) -> Verdict:
    """`seconds` of audio one step after another, at once; the last verdict."""
    verdict = Verdict.FITS
    for _ in range(round(seconds / step_s)):
        verdict = into.receive_audio(bytes(round(SECOND * step_s)), at_s)
    return verdict


def test_audio_goes_on_as_the_credit_allows() -> None:
    flow = inflow(credit=10)
    flow.receive_audio(bytes(range(25)), 0.0)

    assert flow.take() == (bytes(range(10)),)
    assert flow.take() == ()
    flow.grant(100)
    assert flow.take() == (bytes(range(10, 25)),)
    assert flow.credit == 85
    assert not flow


def test_controls_keep_their_place_between_the_audio() -> None:
    flow = inflow(credit=5)
    flow.receive_audio(b"abc", 0.0)
    flow.receive_finalize(0.0)
    flow.receive_audio(b"defg", 0.0)
    flow.stop()

    assert flow.take() == (b"abc", Control(stop=False), b"de")
    flow.grant(5)
    assert flow.take() == (b"fg", Control(stop=True))


def test_controls_cost_no_credit() -> None:
    flow = inflow(credit=0)
    flow.receive_finalize(0.0)

    assert flow.take() == (Control(stop=False),)


def test_a_minute_may_come_at_once_and_no_more() -> None:
    flow = inflow()

    assert send(flow, 30) is Verdict.FITS  # the credit of a new session
    assert send(flow, 30) is Verdict.FITS  # what waits here
    assert send(flow, 1) is Verdict.TOO_FAST
    assert flow.waiting == 60 * SECOND


def test_a_live_source_that_is_not_followed_lags() -> None:
    flow = inflow(credit=0)
    verdicts = [send(flow, 1, at_s=at) for at in range(31)]

    assert verdicts == [Verdict.FITS] * 30 + [Verdict.LAGGING]


def test_three_times_real_time_lags_and_ten_times_is_too_fast() -> None:
    thrice, tenfold = inflow(credit=0), inflow(credit=0)

    assert [send(thrice, 1, at_s=i / 3) for i in range(31)][-1] is Verdict.LAGGING
    assert [send(tenfold, 1, at_s=i / 10) for i in range(31)][-1] is Verdict.TOO_FAST


def test_any_speed_is_right_within_the_credit() -> None:
    flow = inflow()
    for _ in range(1_000):
        assert send(flow, 30) is Verdict.FITS
        while flow:
            flow.take()
        flow.grant(30 * SECOND)


def test_a_replay_within_the_credit_leaves_the_allowance_whole() -> None:
    flow = inflow()
    send(flow, 30)
    flow.take()

    assert [send(flow, 1, at_s=at) for at in range(31)][-1] is Verdict.LAGGING


def test_containers_wait_up_to_4_mib_beyond_the_credit() -> None:
    flow = inflow(credit=0, rate=None)

    assert flow.receive_audio(bytes(CONTAINER_BYTES), 0.0) is Verdict.FITS
    assert flow.receive_audio(b"x", 0.0) is Verdict.TOO_FAST


def test_a_claimed_rate_does_not_claim_memory() -> None:
    assert inflow(rate=384_000 * 32 * 4).room == 16 << 20


def test_one_client_does_not_fill_a_tick() -> None:
    flow = inflow(rate=384_000 * 32 * 4)
    assert flow.credit == MAX_CREDIT_BYTES
    assert flow.receive_audio(bytes(MAX_CREDIT_BYTES), 0.0) is Verdict.FITS
    flow.stop()
    ticks = [flow.take() for _ in range(MAX_CREDIT_BYTES // MAX_TAKEN_BYTES)]

    assert all(len(part) == MAX_TAKEN_BYTES for part, *_ in ticks if isinstance(part, bytes))
    assert ticks[-1][1:] == (Control(stop=True),)
    assert not flow


def test_finalizes_are_few() -> None:
    flow = inflow(limits=Limits(finalizes_per_s=2))

    assert [flow.receive_finalize(0.0) for _ in range(3)] == [Verdict.FITS, Verdict.FITS, Verdict.TOO_FAST]


def test_tiny_frames_are_one_item() -> None:
    flow = inflow()
    for _ in range(1_000):
        flow.receive_audio(b"x", 0.0)

    assert flow.take() == (b"x" * 1_000,)


def test_nothing_is_left_of_what_is_dropped() -> None:
    flow = inflow()
    send(flow, 1)
    flow.stop()
    flow.drop()

    assert not flow
    assert (flow.take(), flow.waiting) == ((), 0)


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
    flow = InputQueue(20, limits)  # 300 bytes of room
    came, went, byte = list[int](), list[int](), 0
    for kind, n in steps:
        if kind == "audio":
            data = bytes((byte + i) % 256 for i in range(n))
            if flow.receive_audio(data, 0.0) is Verdict.FITS:
                came += data
                byte += n
        elif kind == "credit":
            flow.grant(n)
        elif kind == "finalize":
            flow.receive_finalize(0.0)
            came.append(-1)
        else:
            allowed = flow.credit
            taken = flow.take()
            assert sum(len(t) for t in taken if isinstance(t, bytes)) <= allowed
            went += [b for t in taken for b in (t if isinstance(t, bytes) else [-1])]
        assert went == came[: len(went)]
        assert flow.waiting == sum(b >= 0 for b in came) - sum(b >= 0 for b in went)
    flow.grant(1_000_000)
    went += [b for t in flow.take() for b in (t if isinstance(t, bytes) else [-1])]
    assert went == came


@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.integers(0, 30)), max_size=80))
def test_real_time_is_never_too_fast_and_waits_within_bounds(steps: list[tuple[float, int]]) -> None:
    flow, now_s = inflow(), 0.0
    for passed_s, credit_s in steps:
        now_s += passed_s
        assert flow.receive_audio(bytes(int(passed_s * SECOND)), now_s) is not Verdict.TOO_FAST
        assert flow.waiting <= flow.credit + flow.room
        flow.take()
        flow.grant(credit_s * SECOND)
