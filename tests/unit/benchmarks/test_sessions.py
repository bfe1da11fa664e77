"""The transcriber that makes up words, and what is read from the records of many clients."""

import warnings

import pytest
from tests.benchmarks.load import ClientRecord
from tests.benchmarks.sessions import _cost, _partials_s
from tests.benchmarks.usage import Group, Process, Reading

from voxray.audio import SAMPLE_RATE
from voxray.serving.protocol import Job
from voxray.streaming.events import DecodeMode
from voxray.wire import Final, Partial, render

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Ray declares its own schema in pydantic's old way
    from tests.benchmarks.scripted_transcriber import WORD_S, WORDS, scripted_hypothesis


def job(seconds: float, prefix: str = "", *, word_times: bool = False) -> Job:
    pcm = bytes(2 * round(seconds * SAMPLE_RATE))
    return Job("1.a", 1, pcm, prefix, DecodeMode.PARTIAL, word_times, "en", "transcribe", "", "", 0.5)


def words(of: Job) -> list[str]:
    return [w.text.strip() for w in scripted_hypothesis(of).words]


def test_a_longer_window_has_the_words_of_a_shorter_one_and_more() -> None:
    short, long = words(job(3.1 * WORD_S)), words(job(30.1 * WORD_S))

    assert short == list(WORDS[:3])
    assert long[:3] == short
    assert len(long) == 30


def test_words_that_are_forced_come_first_and_the_next_ones_follow_on() -> None:
    assert words(job(4.1 * WORD_S, "delta echo")) == ["delta", "echo", "foxtrot", "golf"]
    assert words(job(WORD_S, "delta echo")) == ["delta", "echo"]
    assert words(job(2.1 * WORD_S, WORDS[-1])) == [WORDS[-1], WORDS[0]]


def test_words_have_times_where_they_are_asked_for() -> None:
    timed = scripted_hypothesis(job(2.1 * WORD_S, word_times=True)).words

    assert [w.start_s for w in timed] == pytest.approx([0.0, WORD_S])
    assert [w.end_s for w in timed] == pytest.approx([WORD_S, 2 * WORD_S])
    assert scripted_hypothesis(job(2.1 * WORD_S)).words[0].start_s is None


def test_a_partial_is_held_against_the_frame_in_which_its_words_end() -> None:
    early, late = (render(Partial(0, 0.0, end_s, "", "alpha")) for end_s in (0.9, 1.1))
    final = render(Final(0, 0.0, 1.1, "alpha"))
    record = ClientRecord(((10.2, early), (20.5, late), (30.5, final)), late_s=(0.0, 0.1))

    assert _partials_s(record, frame_s=1.0, slowness=10.0) == pytest.approx([0.2, 0.4])


def test_costs_are_those_of_a_group_and_of_its_busiest_process() -> None:
    def reading(at_s: float, *processes: tuple[int, Group, float, float]) -> Reading:
        return Reading(at_s, {pid: Process(group, cpu_s, mb) for pid, group, cpu_s, mb in processes}, {})

    idle = reading(0.0, (1, "buffers", 0.0, 100.0))
    before = reading(5.0, (1, "buffers", 1.0, 0.0), (2, "buffers", 1.0, 0.0), (3, "ray", 9.0, 0.0))
    after = reading(15.0, (1, "buffers", 6.0, 120.0), (2, "buffers", 3.0, 80.0), (3, "ray", 9.0, 50.0))
    cost = _cost("buffers", idle, before, after, clients=10)

    assert (cost.processes, cost.cores, cost.busiest) == pytest.approx((2, 0.7, 0.5))
    assert (cost.ms_per_session_s, cost.mb, cost.mb_per_session) == pytest.approx((70.0, 200.0, 10.0))
