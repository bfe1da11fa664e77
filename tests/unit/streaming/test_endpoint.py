import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.errors import ConfigError
from voxray.streaming.endpoint import (
    Ended,
    Endpointer,
    EndpointOptions,
    Mark,
    Onset,
    Quiet,
    Resumed,
    SpeechState,
)
from voxray.streaming.events import FRAME

PROBABILITIES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.34, 0.4, 0.5, 1.0]), st.integers(1, 30)), max_size=20
).map(lambda runs: [p for p, count in runs for _ in range(count)])


def marks(probabilities: list[float], endpointer: Endpointer | None = None) -> list[Mark]:
    endpointer = endpointer or Endpointer()
    return [mark for p in probabilities if (mark := endpointer.feed(p))]


def test_an_utterance_begins_300_ms_before_its_first_speech_and_ends_200_ms_after_its_last() -> None:
    assert marks([0.0] * 20 + [0.9] * 10 + [0.0] * 30) == [
        Onset(20 * FRAME - 4800, 20 * FRAME),
        Quiet(30 * FRAME, 30 * FRAME + 3200),
        Ended(30 * FRAME, 30 * FRAME + 3200),
    ]


def test_the_first_utterance_cannot_begin_before_the_recording() -> None:
    assert marks([0.9]) == [Onset(0, 0)]
    assert marks([0.9], Endpointer(start=4096)) == [Onset(4096, 4096)]


def test_between_the_two_bounds_nothing_changes() -> None:
    assert marks([0.4] * 50) == []
    assert marks([0.9] + [0.4] * 50) == [Onset(0, 0)]
    assert Resumed() not in marks([0.9] + [0.0] * 10 + [0.4] * 5)


def test_speech_after_a_short_silence_goes_on_in_the_same_utterance() -> None:
    assert marks([0.9] + [0.0] * 10 + [0.9] * 2) == [Onset(0, 0), Quiet(512, 3712), Resumed()]


@pytest.mark.parametrize(("endpoint_ms", "frames"), [(300, 10), (600, 19), (5000, 157)])
def test_the_endpoint_is_the_first_frame_that_makes_the_silence_long_enough(
    endpoint_ms: int, frames: int
) -> None:
    options = EndpointOptions(endpoint_ms=endpoint_ms)

    assert not any(isinstance(m, Ended) for m in marks([0.9] + [0.0] * (frames - 1), Endpointer(options)))
    assert any(isinstance(m, Ended) for m in marks([0.9] + [0.0] * frames, Endpointer(options)))


def test_a_shorter_silence_ends_an_utterance_whose_words_are_complete() -> None:
    endpointer = Endpointer(EndpointOptions(endpoint_ms=1000, min_endpoint_ms=400))

    def frames_to_end(complete_after: int | None) -> int:
        for frame in range(1, 100):
            if frame - 1 == complete_after:
                endpointer.end_sooner()
            if isinstance(endpointer.feed(0.0), Ended):
                return frame
        raise AssertionError("no end")

    endpointer.feed(0.9)
    assert frames_to_end(8) == 13
    endpointer.feed(0.9)
    assert frames_to_end(20) == 21  # at once, where it is known late
    endpointer.feed(0.9)
    assert frames_to_end(None) == 32


def test_words_that_go_on_were_not_complete() -> None:
    endpointer = Endpointer(EndpointOptions(endpoint_ms=1000, min_endpoint_ms=400))
    marks([0.9] + [0.0] * 8, endpointer)
    endpointer.end_sooner()
    endpointer.feed(0.9)
    endpointer.end_sooner()  # while somebody speaks, this means nothing

    assert not any(isinstance(m, Ended) for m in marks([0.0] * 31, endpointer))
    assert isinstance(endpointer.feed(0.0), Ended)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.4, 0.9]), st.booleans()), max_size=200))
def test_an_utterance_ends_within_the_bounds_whenever_its_words_are_complete(
    frames: list[tuple[float, bool]],
) -> None:
    endpointer = Endpointer(EndpointOptions(endpoint_ms=1000, min_endpoint_ms=400))
    silent, sooner = 0, False
    for probability, complete in frames:
        if complete:
            endpointer.end_sooner()
        sooner = silent > 0 and (sooner or complete)
        ended = isinstance(endpointer.feed(probability), Ended)
        silent = silent + 1 if ended or endpointer.state is SpeechState.PAUSED else 0
        assert ended == (silent >= (13 if sooner else 32))
        silent = 0 if ended else silent


def test_a_flush_in_speech_ends_at_the_last_sample() -> None:
    endpointer = Endpointer()
    marks([0.9] * 4, endpointer)

    assert endpointer.flush(4 * FRAME + 100) == Ended(4 * FRAME + 100, 4 * FRAME + 100)
    assert endpointer.flush(4 * FRAME + 100) is None


def test_a_flush_in_silence_ends_where_the_endpoint_would_have() -> None:
    endpointer = Endpointer()
    marks([0.9] * 4 + [0.0] * 10, endpointer)

    assert endpointer.flush(14 * FRAME) == Ended(4 * FRAME, 4 * FRAME + 3200)


def test_speech_after_a_flush_is_not_given_to_two_utterances() -> None:
    endpointer = Endpointer()
    marks([0.9] * 4, endpointer)
    endpointer.flush(4 * FRAME + 100)

    assert marks([0.9] * 2, endpointer) == [Onset(4 * FRAME + 100, 4 * FRAME + 100)]


def test_frames_before_a_flush_that_are_fed_after_it_are_ignored() -> None:
    endpointer = Endpointer()
    marks([0.9] * 4, endpointer)
    endpointer.flush(6 * FRAME)

    assert marks([0.9, 0.9], endpointer) == []
    assert marks([0.9], endpointer) == [Onset(6 * FRAME, 6 * FRAME)]


@given(PROBABILITIES, st.sampled_from([300, 600, 2000]), st.sets(st.integers(0, 300)))
def test_no_sample_belongs_to_two_utterances(
    probabilities: list[float], endpoint_ms: int, flushes: set[int]
) -> None:
    endpointer, last = Endpointer(EndpointOptions(endpoint_ms=endpoint_ms)), 0
    start = None
    for i, probability in enumerate(probabilities):
        for mark in (
            endpointer.feed(probability),
            endpointer.flush(endpointer.position) if i in flushes else None,
        ):
            if isinstance(mark, Onset):
                assert start is None
                assert last <= mark.start <= mark.onset < endpointer.position
                start = mark.start
            elif isinstance(mark, Ended):
                assert start is not None
                assert start < mark.end <= endpointer.position
                assert mark.at <= mark.end
                start, last = None, mark.end


@given(PROBABILITIES)
def test_what_the_next_utterance_would_need_is_kept(probabilities: list[float]) -> None:
    endpointer = Endpointer()
    for probability in probabilities:
        kept = endpointer.keep_from
        mark = endpointer.feed(probability)
        if isinstance(mark, Onset):
            assert kept <= mark.start


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"endpoint_ms": 299}, "endpoint_ms"),
        ({"endpoint_ms": 5001}, "endpoint_ms"),
        ({"release": 0.6}, "release"),
        ({"quiet_ms": 700}, "quiet_ms"),
        ({"min_endpoint_ms": 299}, "min_endpoint_ms"),
        ({"min_endpoint_ms": 601}, "min_endpoint_ms"),
        ({"min_endpoint_ms": 300, "quiet_ms": 400}, "quiet_ms"),
        ({"pre_roll_ms": -1}, "pre_roll_ms"),
    ],
)
def test_an_option_that_cannot_be_is_named(wrong: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        EndpointOptions(**wrong)  # type: ignore[arg-type]  # wrong on purpose
