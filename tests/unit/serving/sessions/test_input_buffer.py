import numpy as np
import pytest

from voxray.audio import Pcm
from voxray.errors import AudioError
from voxray.serving.audio_input.decoder import decoder_for
from voxray.serving.protocol import Control
from voxray.serving.sessions.input_buffer import FINISH_S, SETTLED_S, InputBuffer
from voxray.wire import Start

FINALIZE, STOP = Control(stop=False), Control(stop=True)
ROOM = 100_000


class SlowDecoder:
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


def passed_on(input_: InputBuffer, room: int = ROOM) -> list[int | Control]:
    """What the session gets: controls, and lengths of audio."""
    items = list[int | Control]()
    while (item := input_.next(room)) is not None:
        items.append(item if isinstance(item, Control) else len(item))
        room -= 0 if isinstance(item, Control) else len(item)
    return items


def pcm_input() -> InputBuffer:
    return InputBuffer(decoder_for(Start()), 0)


def test_audio_and_controls_keep_their_order() -> None:
    input_ = pcm_input()
    for item in (bytes(2_000), FINALIZE, bytes(400), bytes(600), STOP):
        input_.push(item)

    assert input_.decode(ROOM, 0.0) == 1_500
    assert passed_on(input_) == [1_000, FINALIZE, 200, 300, STOP]
    assert input_.empty


def test_what_has_no_room_waits_and_so_does_what_follows() -> None:
    input_ = pcm_input()
    input_.push(bytes(2_000))
    input_.push(FINALIZE)
    input_.decode(600, 0.0)

    assert passed_on(input_, room=600) == [600]
    assert (input_.waiting, input_.received) == (400, 2_000)
    assert passed_on(input_) == [400, FINALIZE]


def test_a_finalize_waits_for_what_a_container_still_decodes() -> None:
    decoder = SlowDecoder()
    input_ = InputBuffer(decoder, 0, delayed=True)
    input_.push(bytes(500))
    input_.push(FINALIZE)
    input_.push(bytes(100))
    assert input_.decode(ROOM, 0.0) == 0
    assert (input_.received, input_.undecoded) == (600, 100)

    decoder.ready = 500
    assert input_.decode(ROOM, SETTLED_S / 2) == 500
    assert passed_on(input_) == [500]
    assert input_.decode(ROOM, SETTLED_S) == 0
    assert passed_on(input_) == []
    input_.decode(ROOM, 2 * SETTLED_S)
    assert passed_on(input_) == [FINALIZE]
    assert (input_.received, input_.undecoded) == (600, 0)


def test_a_stop_comes_after_all_that_a_container_holds() -> None:
    input_ = InputBuffer(SlowDecoder(), 0, delayed=True)
    input_.push(bytes(2_500))
    input_.push(STOP)

    assert input_.decode(ROOM, 0.0) == 2_500
    assert passed_on(input_) == [1_000, 1_000, 500, STOP]
    assert input_.empty


def test_a_stop_waits_from_tick_to_tick_for_what_a_container_still_decodes() -> None:
    decoder = SlowDecoder(stuck=True)
    input_ = InputBuffer(decoder, 0, delayed=True)
    input_.push(bytes(1_500))
    input_.push(STOP)

    assert input_.decode(ROOM, 60.0) == 0
    decoder.ready = 700
    assert input_.decode(ROOM, 60.0 + FINISH_S) == 700
    assert input_.decode(ROOM, 60.0 + 2 * FINISH_S) == 0
    assert passed_on(input_) == [700]
    decoder.stuck = False
    assert input_.decode(ROOM, 60.0 + 3 * FINISH_S) == 800
    assert passed_on(input_) == [800, STOP]
    assert input_.empty


def test_a_container_that_gives_nothing_for_long_after_its_stop_is_given_up() -> None:
    input_ = InputBuffer(SlowDecoder(stuck=True), 0, delayed=True)
    input_.push(bytes(1_500))
    input_.push(STOP)
    input_.decode(ROOM, 60.0)
    input_.decode(ROOM, 60.0 + FINISH_S)

    with pytest.raises(AudioError, match="expected its end to be decoded within 5 s"):
        input_.decode(ROOM, 60.1 + FINISH_S)


def test_a_container_that_waits_for_room_is_not_given_up() -> None:
    decoder = SlowDecoder(stuck=True)
    input_ = InputBuffer(decoder, 0, delayed=True)
    input_.push(bytes(1_500))
    input_.push(STOP)
    input_.decode(ROOM, 0.0)
    decoder.ready = 700
    input_.decode(ROOM, 1.0)
    input_.decode(ROOM, 2.0)
    input_.decode(700, 60.0)  # the session has no more room than for what waits

    assert input_.decode(ROOM, 120.0) == 0


def test_a_container_is_asked_for_no_more_than_there_is_room_for() -> None:
    input_ = InputBuffer(SlowDecoder(), 0, delayed=True)
    input_.push(bytes(9_000))
    input_.push(STOP)

    assert input_.decode(1_500, 0.0) == 2_000
    assert input_.decode(1_500, 0.0) == 0
    assert passed_on(input_, 1_500) == [1_000, 500]


def test_a_session_that_is_cut_off_ends_after_what_was_read() -> None:
    input_ = pcm_input()
    input_.push(bytes(200))
    input_.decode(ROOM, 0.0)
    input_.push(bytes(400))
    input_.stop()

    assert passed_on(input_) == [100, STOP]
