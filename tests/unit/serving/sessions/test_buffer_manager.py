import time
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scripted_engine import Script, ScriptedDetector, ScriptedTranscriber

from voxray.audio import encode
from voxray.errors import AudioError, WireError
from voxray.serving.protocol import Control, Output
from voxray.serving.sessions.buffer_manager import BufferManager, SessionKey, session_options
from voxray.serving.settings import Decoding, Limits
from voxray.streaming.agreement import Policy
from voxray.streaming.endpoint import EndpointOptions
from voxray.wire import Close, EndpointRange, Final, Ready, ServerMessage, SpeechEnd, Start

SCRIPT = Script.of("turn on the lights please\nand the heating too")
FINALIZE, STOP = Control(stop=False), Control(stop=True)
LIMIT_S = 20.0  # for what takes milliseconds


def manager_of(limits: Limits | None = None, **start: object) -> BufferManager:
    return BufferManager(
        SessionKey("7.a", "token"),
        Start.model_validate(start),
        ScriptedDetector(),
        limits or Limits(),
        Decoding(),
    )


class Client:
    """One manager as a host drives it, with a transcriber that answers at once."""

    def __init__(self, manager: BufferManager) -> None:
        self.manager, self.now_s = manager, 0.0
        self.transcriber = ScriptedTranscriber(SCRIPT)
        self.outputs = list[Output]()

    def send(self, *items: bytes | Control, by_s: float = 0.1) -> None:
        self.now_s += by_s
        self.manager.receive_input(items, self.now_s)
        self.manager.process(self.now_s)
        while job := self.manager.next_job(self.now_s):
            self.manager.receive_answer(self.transcriber(job), self.now_s)
            self.manager.process(self.now_s)
        if output := self.manager.output():
            self.outputs.append(output)

    @property
    def sent(self) -> list[ServerMessage]:
        return [m for o in self.outputs for m in o.messages]

    @property
    def finals(self) -> list[Final]:
        return [m for m in self.sent if isinstance(m, Final)]


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=4))
def test_finals_do_not_depend_on_how_bytes_were_cut(sizes: list[int]) -> None:
    client, audio, at = Client(manager_of()), SCRIPT.pcm().tobytes(), 0
    for size in cycle([*sizes, 9_999]):
        client.send(audio[at : at + size], by_s=size / 32_000)
        at += size
        if at >= len(audio):
            break
    client.send(STOP)

    assert [f.text for f in client.finals] == ["turn on the lights please", "and the heating too"]
    assert client.outputs[-1].close is Close.NORMAL


@pytest.mark.parametrize("size", [1_000, 1_000_000])
def test_a_container_is_decoded_to_its_last_word(size: int) -> None:
    flac = encode(SCRIPT.pcm())  # lossless: the script can be read in it
    client = Client(manager_of(encoding="container"))
    for at in range(0, len(flac), size):
        client.send(flac[at : at + size])
    client.send(STOP)
    until_s = time.monotonic() + LIMIT_S
    while client.manager.closing is None and time.monotonic() < until_s:
        client.send(by_s=0.001)
        time.sleep(0.001)  # a host asks every 50 ms; who asks without a pause starves the thread

    assert " ".join(f.text for f in client.finals) == SCRIPT.text
    assert client.outputs[-1].close is Close.NORMAL


def test_a_session_that_goes_on_counts_from_where_the_other_was_lost() -> None:
    first = SCRIPT.words[5].start - 4_800
    client = Client(manager_of(from_byte=2 * first, have_segment=6))
    client.send(SCRIPT.pcm()[first:].tobytes(), STOP)

    assert client.manager.received_bytes == 2 * SCRIPT.length
    assert [(f.segment, f.text) for f in client.finals] == [(7, "and the heating too")]
    assert client.finals[0].start_s == pytest.approx(SCRIPT.words[5].start / 16_000, abs=0.04)


def test_times_are_those_of_the_audio_as_it_was_sent() -> None:
    client = Client(manager_of(sample_rate=48_000))
    seconds = 3 * SCRIPT.length // 16_000
    pcm = np.ones(48_000 * seconds, dtype=np.int16)
    client.send(pcm.tobytes(), FINALIZE)

    *_, end = [m for m in client.sent if isinstance(m, SpeechEnd)]
    assert end.at_s == pytest.approx(seconds, abs=0.05)


def test_each_connection_has_a_higher_epoch_and_is_welcomed() -> None:
    manager = manager_of()
    first, *_ = manager.attach("gw", "small", -1)
    again, *_ = manager.attach("gw", "small", -1)

    assert manager.epoch == 2
    assert first == Ready("7.a", "token", False, 0, "small")
    assert again == Ready("7.a", "token", True, 0, "small")


def test_a_stop_with_the_audio_that_makes_the_session_too_long_is_the_only_one() -> None:
    client = Client(manager_of(Limits(session_s=1.0)))
    client.send(SCRIPT.pcm().tobytes(), STOP)

    assert [f.text for f in client.finals] == ["turn on the lights please", "and the heating too"]
    assert client.outputs[-1].close is Close.NORMAL


def test_input_after_the_end_is_ignored() -> None:
    client = Client(manager_of())
    client.manager.fail(Close.RESTART, "internal", "a fault.")
    client.manager.fail(Close.NOT_AUDIO, "not_audio", "another.")
    client.send(SCRIPT.pcm().tobytes())

    assert [o.close for o in client.outputs] == [Close.RESTART]
    assert len(client.outputs[0].messages) == 1
    assert client.manager.credit_bytes == 0


def test_bytes_that_are_no_audio_are_an_error_where_they_are_read() -> None:
    manager = manager_of()
    manager.receive_input([b"RIFF\x00\x00\x00\x00WAVEdata\x00\x00\x00\x00"], 0.0)

    with pytest.raises(AudioError, match="WAV header"):
        manager.process(0.0)


def test_a_session_begins_between_two_frames() -> None:
    with pytest.raises(WireError, match="from_byte"):
        manager_of(from_byte=1)


def test_a_session_is_as_the_client_and_the_service_want_it() -> None:
    start = Start(endpoint_ms=EndpointRange(min=400, max=900), partials=False, language="de")
    decoding = Decoding(policy=Policy.ATTENTION, partial_every_s=0.7)
    options = session_options(start, Limits(undecoded_s=20.0), decoding)

    assert options.endpoint == EndpointOptions(endpoint_ms=900, min_endpoint_ms=400)
    assert (options.partials, options.language) == (False, "de")
    assert (options.policy, options.partial_every_s) == (Policy.ATTENTION, 0.7)
    assert options.max_undecoded_s == 20.0
