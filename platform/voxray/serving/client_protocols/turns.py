"""Turns: what somebody says until they pause. A session cuts a long one into segments."""

from collections.abc import Sequence

from voxray.wire import Final, Finalized, ServerMessage, SpeechEnd, SpeechStart


def without_cuts(messages: Sequence[ServerMessage]) -> list[ServerMessage]:
    """Return `messages` without the end and the start of speech at which a session has cut a turn.

    `messages` are those that come at once. What is left of a turn is `SpeechStart`, a `Final` for each cut,
    `SpeechEnd` and one more `Final`.
    """
    cut = _cut_segments(messages)
    return [
        m
        for m in messages
        if not (isinstance(m, SpeechEnd) and m.segment in cut)
        and not (isinstance(m, SpeechStart) and m.segment - 1 in cut)
    ]


def _cut_segments(messages: Sequence[ServerMessage]) -> set[int]:
    """Return the segments that a cut ends: the next one begins in the sample in which they end.

    One that `finalize` ends can look alike, but for the `Finalized` that follows its final.
    """
    cut, ends, last = set[int](), dict[int, float](), -1
    for message in messages:
        if isinstance(message, SpeechEnd):
            ends[message.segment] = message.at_s
        elif isinstance(message, Final):
            last = message.segment
        elif isinstance(message, Finalized):
            last = -1
        elif isinstance(message, SpeechStart) and ends.get(last) == message.at_s:
            cut.add(last)
    return cut
