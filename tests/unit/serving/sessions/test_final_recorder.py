import numpy as np

from voxray.audio import Pcm
from voxray.serving.sessions.final_recorder import FinalRecorder
from voxray.streaming.events import Final, samples

SECOND = samples(1.0)
PCM = np.arange(4 * SECOND, dtype=np.int32).astype(np.int16)


def recorded(at: int, *steps: tuple[list[Final], float]) -> list[tuple[Final, Pcm]]:
    """What is recorded of `PCM`, which begins at sample `at`, when finals come and audio is dropped."""
    found = list[tuple[Final, Pcm]]()
    recorder = FinalRecorder(at, lambda final, pcm: found.append((final, pcm)))
    for start in range(0, len(PCM), SECOND):
        recorder.receive_audio(PCM[start : start + SECOND])
    for finals, keep_from_s in steps:
        recorder.receive_events(finals, samples(keep_from_s))
    return found


def test_a_final_is_recorded_with_its_audio_and_a_margin() -> None:
    first, empty, last = Final(0, 1.0, 2.0, "one"), Final(1, 2.0, 2.1, ""), Final(2, 3.0, 4.0, "two")

    (one, two) = recorded(0, ([first, empty], 2.5), ([last], 4.0))

    assert (one[0], two[0]) == (first, last)
    assert np.array_equal(one[1], PCM[samples(0.75) : samples(2.25)])
    assert np.array_equal(two[1], PCM[samples(2.75) :])


def test_a_session_that_begins_late_has_no_audio_before() -> None:
    before, after = Final(5, 1.0, 2.0, "before"), Final(6, 10.0, 11.0, "after")

    assert [(f, len(pcm)) for f, pcm in recorded(10 * SECOND, ([before, after], 11.0))] == [
        (after, samples(1.25))
    ]
