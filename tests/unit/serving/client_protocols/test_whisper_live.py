"""WhisperLive's protocol: a handshake and audio in, segments out."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scripted_engine import Script
from tests.unit.serving.client_protocols.talk import JSON, Talk

from voxray.errors import WireError
from voxray.serving.client_protocols.base import Frame
from voxray.serving.client_protocols.root import RootProtocol
from voxray.serving.client_protocols.whisper_live import END_OF_AUDIO, WhisperLiveProtocol
from voxray.wire import Close, Done, Error, Final, Finalize, ServerMessage, Start, Stop

MODELS = ("tiny.en", "other")
SENT: dict[str, Any] = {  # by the client of whisper-live 0.10, with its defaults
    "uid": "u1",
    "language": None,
    "task": "transcribe",
    "model": "tiny.en",
    "use_vad": True,
    "send_last_n_segments": 10,
    "no_speech_thresh": 0.45,
    "clip_audio": False,
    "same_output_threshold": 10,
    "enable_translation": False,
    "target_language": "fr",
    "hotwords": None,
    "enable_diarization": False,
    "max_speakers": 10,
    "known_speakers": [],
    "word_timestamps": False,
    "initial_prompt": None,
    "vad_parameters": None,
}


def handshake(**options: Any) -> str:
    return json.dumps(SENT | options)


def talk_of(text: str, **options: Any) -> Talk:
    talk = Talk(RootProtocol(MODELS), Script.of(text, pause_s=2.0))
    talk.send(handshake(**options))
    return talk


def said(protocol: WhisperLiveProtocol, *messages: ServerMessage) -> list[dict[str, Any]]:
    return [json.loads(frame.text) for frame in protocol.write(messages)]


def segments(talk: Talk) -> list[list[dict[str, Any]]]:
    return [m["segments"] for m in talk.sent if "segments" in m]


def begun(**options: Any) -> tuple[WhisperLiveProtocol, list[Any]]:
    protocol = WhisperLiveProtocol(MODELS)
    return protocol, list(protocol.read(handshake(**options)))


def test_a_stream_from_its_handshake_to_its_last_segment() -> None:
    talk = talk_of("One two, three.\nFour five.")
    talk.say(60)
    talk.send(END_OF_AUDIO)
    talk.settle()

    assert talk.sent[0] == {"uid": "u1", "message": "SERVER_READY", "backend": "faster_whisper"}
    assert all(m["uid"] == "u1" for m in talk.sent)
    assert [s["text"] for s in segments(talk)[-1]] == [" One two, three.", " Four five."]
    assert all(s["completed"] for s in segments(talk)[-1])
    assert talk.close is Close.NORMAL
    assert not [m for m in talk.sent if m.get("message") == "DISCONNECT"]


def test_segments_are_in_order_and_the_last_incomplete_one_has_the_text_of_the_complete_one() -> None:
    """The client drops a segment that begins before the last one ends, and keeps the last incomplete one."""
    talk = talk_of("One two, three.\nFour five.\nSix.")
    talk.say(60)

    last = segments(talk)[-1]
    bounds = [float(s[key]) for s in last for key in ("start", "end")]
    assert bounds == sorted(bounds)
    incomplete = [s for shown in segments(talk) for s in shown if not s["completed"]]
    assert incomplete[-1] == last[-1] | {"completed": False}


def test_as_many_segments_come_as_are_asked_for() -> None:
    talk = talk_of("one\ntwo\nthree\nfour", send_last_n_segments=2)
    talk.say(60)

    assert [s["text"] for s in segments(talk)[-1]] == [" three", " four"]


def test_words_have_times_where_asked_for() -> None:
    talk = talk_of("One two.", word_timestamps=True)
    talk.say(60)

    (segment,) = segments(talk)[-1]
    assert [w["word"] for w in segment["words"]] == ["One", "two."]
    assert float(segment["words"][0]["start"]) < float(segment["words"][1]["end"])
    assert "words" not in segments(talk_that_spoke("One two."))[-1][0]


def talk_that_spoke(text: str) -> Talk:
    talk = talk_of(text)
    talk.say(60)
    return talk


def test_the_handshake_is_the_start_of_the_session() -> None:
    asked = {"language": "German", "task": "translate", "hotwords": "Voxray", "initial_prompt": "A prompt."}
    _, (start,) = begun(**asked, audio_format="int16", a_newer_option=1)

    assert start == Start(
        encoding="pcm_s16le", language="de", task="translate", hotwords="Voxray", prompt="A prompt."
    )


def test_what_cannot_be_is_a_warning_and_the_session_goes_on() -> None:
    _, items = begun(model="large-v3", enable_translation=True, enable_diarization=True)

    assert isinstance(items[-1], Start)
    warnings = [json.loads(frame.text) for frame in items[:-1]]
    assert [w["status"] for w in warnings] == ["WARNING"] * 3
    assert warnings[-1]["message"] == "model: expected tiny.en or other, got 'large-v3'; tiny.en transcribes."


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"audio_format": "uint8"}, "audio_format: expected 'float32' or 'int16', got 'uint8'."),
        ({"task": "sing"}, "task: expected 'transcribe' or 'translate', got 'sing'."),
        ({"send_last_n_segments": 0}, "send_last_n_segments: expected greater than or equal to 1, got '0'."),
    ],
)
def test_what_is_wrong_in_the_handshake_is_an_error_with_its_uid(wrong: Any, message: str) -> None:
    protocol = WhisperLiveProtocol(MODELS)
    with pytest.raises(WireError) as caught:
        protocol.read(handshake(**wrong))

    assert str(caught.value) == message
    error = Error("bad_message", str(caught.value))
    assert said(protocol, error) == [{"uid": "u1", "status": "ERROR", "message": message}]


def test_a_full_service_says_when_to_ask_again() -> None:
    protocol, _ = begun()

    for code in ("full", "unavailable"):
        assert said(protocol, Error(code, "try later")) == [{"uid": "u1", "status": "WAIT", "message": 1}]


def test_a_stream_that_the_server_ends_is_a_disconnect() -> None:
    assert said(begun()[0], Done(1.0, 0)) == [{"uid": "u1", "message": "DISCONNECT"}]


def test_the_language_is_told_once_where_it_was_not_given() -> None:
    finals = [Final(0, 0.0, 1.0, "eins", "de"), Final(1, 2.0, 3.0, "zwei", "de")]
    (told,) = [m for m in said(begun()[0], *finals) if "language" in m]

    assert told == {"uid": "u1", "language": "de"}
    assert not [m for m in said(begun(language="de")[0], *finals) if "language" in m]


@pytest.mark.parametrize("frame", ["a text", "{}", '{"uid": "u1"}'])
def test_text_after_the_handshake_is_an_error(frame: str) -> None:
    protocol, _ = begun()
    with pytest.raises(WireError, match="expected binary frames"):
        protocol.read(frame)


@pytest.mark.parametrize("first", [b"\0\0", b"", '{"type": "start"}', "[]", '{"uid": 1}'])
def test_any_other_first_frame_is_plain_text(first: str | bytes) -> None:
    protocol = RootProtocol(MODELS)
    if isinstance(first, str):
        with pytest.raises(WireError, match="got text"):
            protocol.read(first)
    else:
        assert protocol.read(first) == [first or Finalize()]
    with pytest.raises(WireError, match="got text"):
        protocol.read(handshake())
    assert protocol.finalize_after_s is None


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.binary(max_size=20) | st.builds(json.dumps, JSON) | st.text(max_size=20), max_size=4), JSON
)
def test_nothing_that_a_client_sends_breaks_the_protocol(frames: list[str | bytes], value: Any) -> None:
    for first in (handshake(), handshake(language=value), handshake(hotwords=value, model=value)):
        protocol = RootProtocol(MODELS)
        for frame in (first, *frames):
            with contextlib.suppress(WireError):
                items = protocol.read(frame)
                assert all(isinstance(i, bytes | Frame | Start | Stop | Finalize) for i in items)
