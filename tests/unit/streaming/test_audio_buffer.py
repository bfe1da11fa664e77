import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.streaming.audio_buffer import AudioBuffer


@given(st.lists(st.integers(0, 50), max_size=10), st.integers(0, 100), st.data())
def test_reads_what_was_appended_however_it_was_cut(
    sizes: list[int], start: int, data: st.DataObject
) -> None:
    buffer, whole = AudioBuffer(start), np.arange(sum(sizes), dtype=np.int16)
    at = 0
    for size in sizes:
        buffer.append(whole[at : at + size])
        at += size
    buffer.drop_before(start + data.draw(st.integers(0, at)))
    first = data.draw(st.integers(buffer.start, buffer.end))
    last = data.draw(st.integers(first, buffer.end))

    assert buffer.end == start + at
    assert buffer.held == buffer.end - buffer.start
    np.testing.assert_array_equal(buffer.read(first, last), whole[first - start : last - start])


def test_drops_whole_chunks_before_a_position_and_nothing_after_it() -> None:
    buffer = AudioBuffer()
    for _ in range(3):
        buffer.append(np.zeros(10, dtype=np.int16))

    buffer.drop_before(19)
    assert buffer.start == 10
    buffer.drop_before(20)
    assert buffer.start == 20


@pytest.mark.parametrize(("start", "end"), [(0, 5), (12, 21), (15, 14)])
def test_what_was_dropped_or_has_not_come_cannot_be_read(start: int, end: int) -> None:
    buffer = AudioBuffer(10)
    buffer.append(np.zeros(10, dtype=np.int16))

    with pytest.raises(ValueError, match="within 10 to 20"):
        buffer.read(start, end)


def test_what_was_appended_is_a_copy() -> None:
    buffer, pcm = AudioBuffer(), np.zeros(4, dtype=np.int16)
    buffer.append(pcm)
    pcm[:] = 7

    assert not buffer.read(0, 4).any()
