import numpy as np
import pytest

from voxray.errors import AudioError
from voxray.serving.audio_input.decoder import decoder_for
from voxray.serving.protocol import Control
from voxray.serving.sessions.input_buffer import FINISH_S, SETTLED_S, Heard, InputBuffer
from voxray.streaming.audio_buffer import Pcm
from voxray.wire import Start

FINALIZE, STOP = Control(stop=False), Control(stop=True)
ROOM = 100_000


class SlowIntake:
    """Gives samples when a test says so, as a container's thread would: a sample for each byte."""

    resumable = False

    def __init__(self, *, stuck: bool = False) -> None:
        self.received = 0
        self.ended = False
        self.ready = 0
        self.stuck = stuck  # nothing of the rest is decoded
        self._given = 0

    def feed(self, data: bytes) -> Pcm:
        self.received += len(data)
        return self._give()

    def finish(self) -> Pcm:
        if self.stuck:
            return self._give()
        self.ready = min(self.received, self._given + 1_000)
        self.ended = self.ready == self.received
        return self._give()

    def sample_of(self, byte: int) -> int:
        return 0

    def byte_of(self, sample: int) -> int:
        return self.received

    def credit(self, room: int) -> int:
        return room

    def close(self) -> None:
        """Nothing to free."""

    def _give(self) -> Pcm:
        count, self._given = self.ready - self._given, self.ready
        return np.ones(count, dtype=np.int16)


def passed(inlet: InputBuffer, room: int = ROOM) -> list[int | Control]:
    """What goes on to the session: controls, and lengths of audio."""
    found = list[int | Control]()
    while (part := inlet.next(room)) is not None:
        found.append(len(part.pcm) if isinstance(part, Heard) else part)
        room -= len(part.pcm) if isinstance(part, Heard) else 0
    return found


def pcm_inlet() -> InputBuffer:
    return InputBuffer(decoder_for(Start()), 0)


def test_audio_and_controls_keep_their_order() -> None:
    inlet = pcm_inlet()
    for item in (bytes(2_000), FINALIZE, bytes(400), bytes(600), STOP):
        inlet.push(item)

    assert len(inlet.pull(ROOM, 0.0)) == 1_500
    assert passed(inlet) == [1_000, FINALIZE, 200, 300, STOP]
    assert inlet.empty


def test_what_has_no_room_waits_and_so_does_what_follows() -> None:
    inlet = pcm_inlet()
    inlet.push(bytes(2_000))
    inlet.push(FINALIZE)
    inlet.pull(600, 0.0)

    assert passed(inlet, room=600) == [600]
    assert (inlet.waiting, inlet.received) == (400, 2_000)
    assert passed(inlet) == [400, FINALIZE]


def test_probabilities_go_with_the_samples_that_complete_their_frames() -> None:
    inlet = pcm_inlet()
    inlet.push(bytes(2 * 512 * 4))
    inlet.pull(ROOM, 0.0)
    inlet.hear([0.1, 0.2, 0.3, 0.4])
    parts = [inlet.next(room) for room in (511, 1, 1_023, ROOM)]

    assert [p.speech for p in parts if isinstance(p, Heard)] == [(), (0.1,), (0.2,), (0.3, 0.4)]


def test_a_finalize_waits_for_what_a_container_still_decodes() -> None:
    intake = SlowIntake()
    inlet = InputBuffer(intake, 0, delayed=True)
    inlet.push(bytes(500))
    inlet.push(FINALIZE)
    inlet.push(bytes(100))
    assert len(inlet.pull(ROOM, 0.0)) == 0
    assert (inlet.received, inlet.unread) == (600, 100)

    intake.ready = 500
    assert len(inlet.pull(ROOM, SETTLED_S / 2)) == 500
    assert passed(inlet) == [500]
    assert len(inlet.pull(ROOM, SETTLED_S)) == 0
    assert passed(inlet) == []
    inlet.pull(ROOM, 2 * SETTLED_S)
    assert passed(inlet) == [FINALIZE]
    assert (inlet.received, inlet.unread) == (600, 0)


def test_a_stop_comes_after_all_that_a_container_holds() -> None:
    inlet = InputBuffer(SlowIntake(), 0, delayed=True)
    inlet.push(bytes(2_500))
    inlet.push(STOP)

    assert len(inlet.pull(ROOM, 0.0)) == 2_500
    assert passed(inlet) == [1_000, 1_000, 500, STOP]
    assert inlet.empty


def test_a_stop_waits_from_tick_to_tick_for_what_a_container_still_decodes() -> None:
    intake = SlowIntake(stuck=True)
    inlet = InputBuffer(intake, 0, delayed=True)
    inlet.push(bytes(1_500))
    inlet.push(STOP)

    assert len(inlet.pull(ROOM, 60.0)) == 0
    intake.ready = 700
    assert len(inlet.pull(ROOM, 60.0 + FINISH_S)) == 700
    assert len(inlet.pull(ROOM, 60.0 + 2 * FINISH_S)) == 0
    assert passed(inlet) == [700]
    intake.stuck = False
    assert len(inlet.pull(ROOM, 60.0 + 3 * FINISH_S)) == 800
    assert passed(inlet) == [800, STOP]
    assert inlet.empty


def test_a_container_that_gives_nothing_for_long_after_its_stop_is_given_up() -> None:
    inlet = InputBuffer(SlowIntake(stuck=True), 0, delayed=True)
    inlet.push(bytes(1_500))
    inlet.push(STOP)
    inlet.pull(ROOM, 60.0)
    inlet.pull(ROOM, 60.0 + FINISH_S)

    with pytest.raises(AudioError, match="expected its end within 5 s"):
        inlet.pull(ROOM, 60.1 + FINISH_S)


def test_a_container_that_waits_for_room_is_not_given_up() -> None:
    intake = SlowIntake(stuck=True)
    inlet = InputBuffer(intake, 0, delayed=True)
    inlet.push(bytes(1_500))
    inlet.push(STOP)
    inlet.pull(ROOM, 0.0)
    intake.ready = 700
    inlet.pull(ROOM, 1.0)
    inlet.pull(ROOM, 2.0)
    inlet.pull(700, 60.0)  # the session has no more room than for what waits

    assert len(inlet.pull(ROOM, 120.0)) == 0


def test_a_container_is_asked_for_no_more_than_there_is_room_for() -> None:
    inlet = InputBuffer(SlowIntake(), 0, delayed=True)
    inlet.push(bytes(9_000))
    inlet.push(STOP)

    assert len(inlet.pull(1_500, 0.0)) == 2_000
    assert len(inlet.pull(1_500, 0.0)) == 0
    assert passed(inlet, 1_500) == [1_000, 500]


def test_a_session_that_is_cut_off_ends_after_what_was_read() -> None:
    inlet = pcm_inlet()
    inlet.push(bytes(200))
    inlet.pull(ROOM, 0.0)
    inlet.push(bytes(400))
    inlet.stop()

    assert passed(inlet) == [100, STOP]
