import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL_INT8

from voxray.transcript import Segment
from voxray.whisper.engines import split_segments
from voxray.whisper.tokens import Tokens

TOKENS = Tokens.load(SMALL_MODEL_INT8)
ONE, TWO = TOKENS.encode(" one"), TOKENS.encode(" two")


def at(seconds: float) -> int:
    return TOKENS.timestamp(seconds)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([*ONE, *TWO], [(0.0, 4.0, "one two")]),
        ([at(0.5), *ONE, at(1.0), at(2.0), *TWO, at(3.0)], [(0.5, 1.0, "one"), (2.0, 3.0, "two")]),
        ([at(0.5), *ONE, at(1.0), at(2.0), *TWO], [(0.5, 1.0, "one"), (2.0, 4.0, "two")]),  # not closed
        ([at(0.5), *ONE, at(29.98)], [(0.5, 4.0, "one")]),  # ends after the audio
        ([at(0.5), *ONE, at(9.0), at(12.0), *TWO, at(14.0)], [(0.5, 4.0, "one"), (4.0, 4.0, "two")]),
        ([at(2.0), *ONE, at(1.0), at(0.5), *TWO, at(3.0)], [(2.0, 2.0, "one"), (2.0, 3.0, "two")]),
        ([at(1.0), at(1.0)], []),
        ([], []),
    ],
)
def test_segments_lie_within_the_audio(ids: list[int], expected: list[tuple[float, float, str]]) -> None:
    assert split_segments(TOKENS, ids, 4.0) == tuple(Segment(*s) for s in expected)


@given(st.lists(st.one_of(st.floats(0, 30), st.just(ONE[0])), max_size=20), st.floats(0, 30))
def test_times_are_in_order_whatever_the_timestamps_say(parts: list[float | int], lasts_s: float) -> None:
    ids = [p if isinstance(p, int) else at(p) for p in parts]
    times = [t for s in split_segments(TOKENS, ids, lasts_s) for t in (s.start_s, s.end_s)]

    assert times == sorted(times)
    assert all(0 <= t <= round(lasts_s, 2) for t in times)
