import pytest
from tests.scripted_engine import Rehearsal, Script, ScriptedEngine

from voxray.streaming.end_of_turn import is_complete
from voxray.streaming.endpoint import EndpointOptions
from voxray.streaming.events import Hypothesis, HypothesisWord, SpeechEnd
from voxray.streaming.options import SessionOptions
from voxray.streaming.session import Session

RANGE = EndpointOptions(endpoint_ms=1000, min_endpoint_ms=400)


@pytest.mark.parametrize(
    ("text", "probability", "complete"),
    [
        (" Yes.", 0.9, True),
        (" Yes?", 0.9, True),
        (" Yes.", 0.5, False),
        (" Yes.", None, False),
        (" Yes...", 0.9, False),
        (" Yes,", 0.9, False),
        (" Yes", 0.9, False),
        (' "Yes."', 0.9, True),
        (" (Yes\u2026)", 0.9, False),
        ("\u306f\u3044\u3002\u300d", 0.9, True),
    ],
)
def test_words_are_complete_where_they_are_closed_and_certain(
    text: str, probability: float | None, complete: bool
) -> None:
    assert is_complete(Hypothesis((HypothesisWord(text, 0.0, 0.5, probability),))) is complete


def test_nothing_is_not_complete() -> None:
    assert not is_complete(Hypothesis(()))


def segments(text: str, pause_s: float, endpoint: EndpointOptions, *, word_times: bool = True) -> int:
    script = Script.of(text, pause_s=pause_s)
    session = Session(SessionOptions(endpoint=endpoint, word_times=word_times))
    events = Rehearsal(session, ScriptedEngine(script), (0.05,)).play(script, [512]).events
    return sum(isinstance(e, SpeechEnd) for e in events)


def test_a_pause_inside_a_sentence_does_not_end_it_and_one_after_it_does() -> None:
    assert segments("turn on the\nlights please.", 0.7, RANGE) == 1
    assert segments("turn on the lights.\nand now go.", 0.7, RANGE) == 2
    assert segments("turn on the lights.\nand now go.", 0.7, EndpointOptions(endpoint_ms=1000)) == 1


def test_a_client_that_wants_no_word_times_gets_the_same_endpoints() -> None:
    """The probability of the last word comes with its times."""
    assert segments("turn on the lights.\nand now go.", 0.7, RANGE, word_times=False) == 2
