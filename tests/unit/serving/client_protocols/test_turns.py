from voxray.serving.client_protocols.turns import without_cuts
from voxray.wire import Final, Finalized, ServerMessage, SpeechEnd, SpeechStart


def final(segment: int, end_s: float) -> Final:
    return Final(segment, 0.0, end_s, "text")


def test_a_cut_is_no_end_of_a_turn() -> None:
    messages: list[ServerMessage] = [SpeechEnd(0, 8.0), final(0, 8.0), SpeechStart(1, 8.0)]

    assert without_cuts(messages) == [final(0, 8.0)]


def test_turns_that_end_stay_as_they_are() -> None:
    pause: list[ServerMessage] = [SpeechEnd(0, 8.0), final(0, 8.0), SpeechStart(1, 8.7)]
    flush: list[ServerMessage] = [SpeechEnd(0, 8.0), final(0, 8.0), Finalized(), SpeechStart(1, 8.0)]
    late: list[ServerMessage] = [final(0, 8.0), SpeechStart(1, 8.0)]

    assert [without_cuts(messages) for messages in (pause, flush, late)] == [pause, flush, late]
