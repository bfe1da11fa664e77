from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL

from voxray.transcript import Segment
from voxray.whisper.labels import IGNORED, Label, label, no_speech_label
from voxray.whisper.tokens import MAX_LABEL_TOKENS, MAX_PREVIOUS_TOKENS, Tokens

TOKENS = Tokens.load(SMALL_MODEL)

texts = st.lists(st.sampled_from("turn on the kitchen light at seven nine".split()), max_size=250).map(
    " ".join
)


@st.composite
def segments(draw: st.DrawFn) -> list[Segment]:
    times = sorted(draw(st.lists(st.floats(0, 30), min_size=2, max_size=6)))
    return [Segment(a, b, draw(texts)) for a, b in pairwise(times)]


def check(made: Label) -> None:
    """What holds of every label: one start, one end that is learned, and masks only before the start."""
    assert len(made.inputs) == len(made.targets) < MAX_LABEL_TOKENS
    assert made.inputs.count(TOKENS.start) == 1
    start = made.inputs.index(TOKENS.start)
    assert made.targets[-1] == TOKENS.end
    assert TOKENS.end not in made.inputs
    assert made.targets[start:-1] == made.inputs[start + 1 :]
    assert set(made.targets[:start]) <= {IGNORED}
    assert made.inputs.count(TOKENS.previous) == (1 if start else 0)


@given(segments(), st.booleans(), st.one_of(st.just(""), texts))
def test_every_label_has_one_start_fits_and_masks_what_came_before(
    spoken: list[Segment], timestamps: bool, previous: str
) -> None:
    made = label(TOKENS, spoken, timestamps=timestamps, previous=previous)

    if made is not None:
        check(made)
        assert any(map(TOKENS.is_timestamp, made.inputs)) == (
            timestamps and any(s.text.strip() for s in spoken)
        )
        assert (TOKENS.no_timestamps in made.inputs) == (not timestamps)


@given(texts)
def test_a_label_reads_back_as_its_text(text: str) -> None:
    made = label(TOKENS, [Segment(0, 2, text)])

    if made is not None:
        assert TOKENS.decode(made.inputs).strip() == text


def test_a_label_without_timestamps() -> None:
    made = label(
        TOKENS, [Segment(0, 1, "turn on"), Segment(1, 2, " the light. ")], language="de", task="translate"
    )

    body = TOKENS.encode(" turn on the light.")
    ids = [*TOKENS.prompt("de", "translate"), *body, TOKENS.end]
    assert made == Label(tuple(ids[:-1]), tuple(ids[1:]))


def test_a_label_with_timestamps_has_each_segment_between_its_times() -> None:
    made = label(TOKENS, [Segment(0, 1.009, "turn on"), Segment(1.5, 2, "now")], timestamps=True)

    assert made is not None
    assert list(made.inputs[3:]) == [
        TOKENS.timestamp(0),
        *TOKENS.encode(" turn on"),
        TOKENS.timestamp(1.0),
        TOKENS.timestamp(1.5),
        *TOKENS.encode(" now"),
        TOKENS.timestamp(2.0),
    ]


@given(segments())
def test_times_in_a_label_never_go_back(spoken: list[Segment]) -> None:
    made = label(TOKENS, spoken, timestamps=True)

    if made is not None:
        times = [t for t in made.inputs if TOKENS.is_timestamp(t)]
        assert times == sorted(times)


def test_segments_without_words_leave_no_times() -> None:
    assert label(TOKENS, [Segment(0, 1, " ")], timestamps=True) == label(TOKENS, [], timestamps=True)


def test_previous_text_is_cut_from_the_left_to_223_tokens() -> None:
    previous = " ".join(["seven"] * 400 + ["nine"])
    made = label(TOKENS, [Segment(0, 1, "turn on")], previous=previous)

    assert made is not None
    start = made.inputs.index(TOKENS.start)
    assert made.inputs[0] == TOKENS.previous
    assert start == MAX_PREVIOUS_TOKENS + 1
    assert list(made.inputs[1:start]) == TOKENS.encode(f" {previous}")[-MAX_PREVIOUS_TOKENS:]


def test_targets_are_masked_up_to_and_including_the_start() -> None:
    made = label(TOKENS, [Segment(0, 1, "now")], previous="turn on")

    assert made is not None
    start = made.inputs.index(TOKENS.start)
    assert made.targets[:start] == (IGNORED,) * start
    assert made.targets[start] == TOKENS.language("en")


def test_previous_text_gives_way_to_a_long_label() -> None:
    whole = MAX_LABEL_TOKENS
    words = next(n for n in range(whole) if len(TOKENS.encode(" nine" * n)) >= whole - 8)
    made = label(
        TOKENS, [Segment(0, 30, "nine " * (words - 2))], previous="turn on the kitchen light at seven"
    )

    assert made is not None
    assert len(made.inputs) + 1 <= whole
    check(made)


def test_a_text_that_does_not_fit_has_no_label() -> None:
    assert label(TOKENS, [Segment(0, 30, "nine " * 900)]) is None


def test_a_label_that_just_fits_is_kept() -> None:
    count = next(n for n in range(1, 900) if label(TOKENS, [Segment(0, 30, "nine " * n)]) is None) - 1
    made = label(TOKENS, [Segment(0, 30, "nine " * count)])

    assert made is not None
    assert len(made.inputs) + 1 <= MAX_LABEL_TOKENS
    assert len(made.inputs) + 1 + len(TOKENS.encode(" nine")) > MAX_LABEL_TOKENS


@pytest.mark.parametrize("named", [True, False])
def test_a_clip_without_words(named: bool) -> None:
    made = no_speech_label(TOKENS, named=named)

    check(made)
    expected = [TOKENS.start, TOKENS.no_speech] if named else TOKENS.prompt()
    assert list(made.inputs) == expected
