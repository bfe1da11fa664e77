"""A session of OpenAI's Realtime API: events in, events out."""

import base64
import json
from collections import defaultdict
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scripted_engine import Script
from tests.unit.serving.client_protocols.talk import BYTES_PER_S, JSON, Talk

from voxray.serving.api_error import ApiError
from voxray.serving.client_protocols.base import Frame
from voxray.serving.client_protocols.realtime import RealtimeProtocol
from voxray.wire import Error, Reconnect

MODELS = ("tiny.en", "other")
COMMIT, CLEAR = ({"type": f"input_audio_buffer.{what}"} for what in ("commit", "clear"))
MANUAL = {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}}
DELTA, COMPLETED = (f"conversation.item.input_audio_transcription.{what}" for what in ("delta", "completed"))
LONG = "\n".join(
    ["one two three four five six", "seven eight nine ten", " ".join(map(str, range(50))), "the last"]
)


class RealtimeTalk(Talk):
    """A talk whose audio comes in events."""

    def __init__(self, text: str, *events: dict[str, Any], beta: bool = False) -> None:
        numbers = count(1)
        protocol = RealtimeProtocol(MODELS, beta=beta, new_id=lambda: str(next(numbers)))
        super().__init__(protocol, Script.of(text))
        for event in events:
            self.tell(event)

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event."""
        self.send(json.dumps(event))

    @property
    def kinds(self) -> list[str]:
        """What came after the session's own events, each kind once in a row."""
        kinds = [m["type"] for m in self.sent if not m["type"].startswith("session.")]
        return [kind for i, kind in enumerate(kinds) if i == 0 or kinds[i - 1] != kind]

    @property
    def transcripts(self) -> list[str]:
        """The transcripts of all items that are complete."""
        return [m["transcript"] for m in self.of(COMPLETED)]

    @property
    def text(self) -> str:
        """All transcripts on one line."""
        return " ".join(filter(None, self.transcripts))

    @property
    def errors(self) -> list[dict[str, Any]]:
        """What was wrong."""
        return [m["error"] for m in self.of("error")]

    def _framed(self, chunk: bytes) -> str:
        audio = base64.b64encode(bytes(len(chunk) * 24_000 * 2 // BYTES_PER_S)).decode()
        return json.dumps({"type": "input_audio_buffer.append", "audio": audio})


def test_a_turn_is_announced_committed_and_completed() -> None:
    talk = RealtimeTalk("one two three\nfour five")
    talk.say(60)

    turn = [
        "input_audio_buffer.speech_started",
        DELTA,
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        DELTA,
        COMPLETED,
    ]
    started, committed = (talk.of(f"input_audio_buffer.{what}") for what in ("speech_started", "committed"))
    assert [k for k in talk.kinds if k != DELTA] == [k for k in turn if k != DELTA] * 2
    assert talk.transcripts == ["one two three", "four five"]
    assert [m["item_id"] for m in started] == [m["item_id"] for m in talk.of(COMPLETED)]
    assert [m["previous_item_id"] for m in committed] == [None, committed[0]["item_id"]]
    assert 500 < started[0]["audio_start_ms"] < 1_000  # the words begin at 1 s


def test_words_come_as_deltas_before_the_turn_ends() -> None:
    talk = RealtimeTalk("one two three four five six seven eight")
    talk.say(3)

    assert "".join(m["delta"] for m in talk.of(DELTA)).startswith("one two")
    assert not talk.of("input_audio_buffer.speech_stopped")


def test_a_long_turn_is_one_item_although_its_session_cuts_it() -> None:
    text = " ".join(f"word{n}" for n in range(60))
    talk = RealtimeTalk(text)
    talk.say(60)

    assert sum(type(m).__name__ == "Final" for m in talk.messages) > 1
    assert talk.transcripts == [text]


def test_without_turn_detection_an_item_is_what_was_committed() -> None:
    talk = RealtimeTalk("one two three\nfour five\nsix seven", MANUAL)
    talk.say(4.2)
    assert not talk.kinds  # nothing is told before the commit
    talk.tell(COMMIT)
    talk.settle()
    talk.say(60)
    talk.tell(COMMIT)
    talk.settle()

    assert talk.transcripts == ["one two three four five", "six seven"]
    assert talk.kinds[0] == "input_audio_buffer.committed"
    assert "input_audio_buffer.speech_started" not in talk.kinds


def test_the_words_until_a_commit_follow_it_at_once() -> None:
    talk = RealtimeTalk("one two three four five six seven eight", MANUAL)
    talk.say(3)
    talk.tell(COMMIT)

    at = [m["type"] for m in talk.sent].index("conversation.item.done")
    assert talk.sent[at + 1]["delta"].startswith("one two")


@pytest.mark.parametrize("events", [[], [MANUAL]], ids=["turns", "commits"])
def test_what_was_cleared_is_not_transcribed(events: list[dict[str, Any]]) -> None:
    talk = RealtimeTalk("one two three four five\nsix seven", *events)
    talk.say(1.5)
    talk.tell(CLEAR)
    talk.settle()
    talk.say(60)
    talk.tell(COMMIT)
    talk.settle()

    assert talk.of("input_audio_buffer.cleared")
    assert "one" not in talk.text
    assert talk.text.endswith("six seven")


def test_a_commit_ends_a_turn_that_is_being_spoken() -> None:
    talk = RealtimeTalk("one two three four five\nsix seven")
    talk.say(1.6)
    talk.tell(COMMIT)
    talk.settle()
    talk.say(60)

    assert "input_audio_buffer.speech_stopped" not in talk.kinds[: talk.kinds.index(COMPLETED)]
    assert len(talk.of("input_audio_buffer.committed")) == len(talk.of(COMPLETED))
    assert talk.text.endswith("six seven")


@pytest.mark.parametrize("said_s", [0.0, 60.0])
def test_a_commit_of_nothing_is_an_error_and_the_session_goes_on(said_s: float) -> None:
    talk = RealtimeTalk("one two", MANUAL)
    talk.say(said_s)
    if said_s:
        talk.tell(COMMIT)
    talk.tell(COMMIT | {"event_id": "mine"})

    assert [(e["code"], e["event_id"]) for e in talk.errors] == [("input_audio_buffer_commit_empty", "mine")]
    assert "at least 100ms of audio, but buffer only has 0.00ms" in talk.errors[0]["message"]
    talk.settle()
    assert talk.transcripts == (["one two"] if said_s else [])


def test_a_commit_of_silence_is_an_item_without_text() -> None:
    talk = RealtimeTalk("one", MANUAL)
    talk.say(0.5)
    talk.tell(COMMIT)
    talk.settle()

    assert talk.transcripts == [""]
    assert not talk.of(DELTA)


@settings(max_examples=25, deadline=None)
@given(st.booleans(), st.lists(st.tuples(st.floats(0.2, 4.0), st.sampled_from(["", "commit", "clear"]))))
def test_no_delta_is_ever_contradicted(turns: bool, actions: list[tuple[float, str]]) -> None:
    talk = RealtimeTalk(LONG, *([] if turns else [MANUAL]))
    for seconds, action in actions:
        talk.say(seconds)
        if action:
            talk.tell({"type": f"input_audio_buffer.{action}"})
    talk.say(600)
    talk.tell(COMMIT)
    talk.settle()

    deltas: defaultdict[str, str] = defaultdict(str)
    committed, completed = list[str](), dict[str, str]()
    for m in talk.sent:
        item = m.get("item_id", "")
        assert item not in completed, f"{m} after the item was complete"
        if m["type"] == DELTA:
            assert turns or item in committed
            deltas[item] += m["delta"]
        elif m["type"] == "input_audio_buffer.committed":
            assert m["previous_item_id"] == (committed[-1] if committed else None)
            committed.append(item)
        elif m["type"] == COMPLETED:
            assert item in committed
            completed[item] = m["transcript"]
    assert sorted(completed) == sorted(committed)
    assert completed == {item: deltas[item] for item in committed}
    if not any(action for _, action in actions):
        assert talk.text.split() == LONG.split()


# Settings.


def session_of(talk: RealtimeTalk) -> dict[str, Any]:
    session: dict[str, Any] = talk.sent[-1]["session"]
    return session


@pytest.mark.parametrize("beta", [False, True])
def test_a_session_begins_with_what_is_in_force(beta: bool) -> None:
    talk = RealtimeTalk("one", beta=beta)
    name = "transcription_session" if beta else "session"

    assert [m["type"] for m in talk.sent] == [f"{name}.created"]
    turns = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
    session = session_of(talk)
    assert (session if beta else session["audio"]["input"])["turn_detection"] == turns
    assert session["object"] == "realtime.transcription_session"


def test_the_settings_of_ga_become_those_of_the_session() -> None:
    transcription = {
        "model": "gpt-4o-transcribe",
        "language": "en-GB",
        "prompt": "Before.",
        "keywords": ["Ray", "Voxray"],
    }
    audio = {
        "format": {"type": "audio/pcmu"},
        "transcription": transcription,
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 50, "threshold": 0.9},
        "noise_reduction": {"type": "near_field"},
    }
    update = {"type": "session.update", "session": {"type": "transcription", "audio": {"input": audio}}}
    talk = RealtimeTalk("one", update)

    start, in_force = talk.protocol.defaults, session_of(talk)["audio"]["input"]
    assert (start.encoding, start.sample_rate, start.language) == ("mulaw", 8_000, "en")
    assert (start.prompt, start.hotwords, start.endpoint_ms) == ("Before.", "Ray, Voxray", 300)
    assert in_force["format"] == {"type": "audio/pcmu"}
    assert in_force["transcription"] == {**transcription, "language": "en"}
    assert (in_force["turn_detection"]["silence_duration_ms"], in_force["turn_detection"]["threshold"]) == (
        300,
        0.5,
    )
    assert in_force["noise_reduction"] is None


@pytest.mark.parametrize("kind", ["transcription_session.update", "session.update"])
def test_the_settings_of_beta_become_those_of_the_session(kind: str) -> None:
    session = {
        "input_audio_format": "g711_alaw",
        "input_audio_transcription": {"model": "whisper-1", "language": "en"},
        "turn_detection": None,
    }
    talk = RealtimeTalk("one", {"type": kind, "session": session}, beta=True)

    start = talk.protocol.defaults
    assert (start.encoding, start.sample_rate, start.language) == ("alaw", 8_000, "en")
    assert talk.sent[-1]["type"] == "transcription_session.updated"
    assert {**session_of(talk), **session}["turn_detection"] is None
    assert session_of(talk)["input_audio_format"] == "g711_alaw"


def test_an_update_changes_nothing_else() -> None:
    prompt = {"audio": {"input": {"transcription": {"prompt": "Before."}}}}
    talk = RealtimeTalk("one", MANUAL, {"type": "session.update", "session": prompt})

    assert talk.protocol.defaults.prompt == "Before."
    assert session_of(talk)["audio"]["input"]["turn_detection"] is None


@pytest.mark.parametrize(
    ("session", "param", "code"),
    [
        (
            {"audio": {"input": {"format": {"type": "audio/opus"}}}},
            "audio.input.format.type",
            "invalid_value",
        ),
        (
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 8000}}}},
            "format.rate",
            "invalid_value",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}},
            "turn_detection",
            "invalid_value",
        ),
        ({"audio": {"input": {"transcription": {"language": "xx"}}}}, "language", "invalid_value"),
        ({"audio": {"input": {"transcription": {"model": "large-v3"}}}}, "model", "model_not_found"),
        ({"audio": {"input": {"transcription": {"keywords": ["k" * 2_001]}}}}, "keywords", "invalid_value"),
        ({"type": "realtime"}, "session.type", "invalid_value"),
        ({"input_audio_format": "pcm8"}, "session.input_audio_format", "invalid_value"),
        ({"type": "transcription", "voice": "alloy"}, "session.voice", "unknown_parameter"),
        ("none", "session", "invalid_value"),
    ],
)
def test_settings_that_cannot_be_are_errors_that_change_nothing(
    session: object, param: str, code: str
) -> None:
    talk = RealtimeTalk("one", {"type": "session.update", "event_id": "e1", "session": session})

    assert [(e["code"], e["type"], e["event_id"]) for e in talk.errors] == [
        (code, "invalid_request_error", "e1")
    ]
    assert param in talk.errors[0]["param"]
    assert "expected" in talk.errors[0]["message"]
    assert talk.protocol.defaults == RealtimeProtocol(MODELS).defaults


def test_settings_stay_after_the_first_audio() -> None:
    talk = RealtimeTalk("one two")
    talk.say(1)
    talk.tell(MANUAL)
    talk.tell({"type": "session.update", "session": {"type": "transcription"}})  # changes nothing
    talk.say(60)

    for model in ("whisper-1", "other"):  # the first is the one that it has
        audio = {"input": {"transcription": {"model": model}}}
        talk.tell({"type": "session.update", "session": {"audio": audio}})
    assert [e["code"] for e in talk.errors] == ["session_begun"] * 2
    assert talk.of("session.updated")
    assert talk.transcripts == ["one two"]


def test_names_of_other_models_are_refused() -> None:
    assert RealtimeProtocol(MODELS, "other").settings.model == "other"
    assert RealtimeProtocol(MODELS, "other").defaults.model == "other"
    assert RealtimeProtocol(MODELS, "gpt-4o-mini-transcribe").defaults.model is None
    with pytest.raises(ApiError, match=r"expected one of tiny\.en, other"):
        RealtimeProtocol(MODELS, "large-v3")


# What is no event.


@pytest.mark.parametrize(
    "frame",
    [
        "no json",
        "[]",
        "{}",
        '{"type": 1}',
        '{"type": "response.create"}',
        '{"type": "input_audio_buffer.append"}',
        '{"type": "input_audio_buffer.append", "audio": "%"}',
        '{"type": "input_audio_buffer.append", "audio": 1}',
        "[" * 100_000,
        b"audio",
    ],
)
def test_what_is_no_event_is_an_error_and_the_session_goes_on(frame: str | bytes) -> None:
    talk = RealtimeTalk("one two")
    talk.send(frame[:1_000_000])
    talk.say(60)

    assert [e["type"] for e in talk.errors] == ["invalid_request_error"]
    assert len(json.dumps(talk.errors)) < 600
    assert talk.transcripts == ["one two"]


KEYS = st.sampled_from(
    "type audio input format transcription turn_detection language model keywords input_audio_format".split()
)
SESSIONS = st.recursive(JSON, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["session.update", "transcription_session.update", "input_audio_buffer.append"]), SESSIONS
)
def test_whatever_is_in_an_event_it_is_answered(kind: str, value: object) -> None:
    protocol = RealtimeProtocol(MODELS)
    event = json.dumps({"type": kind, "session": value, "audio": value, "event_id": value})

    for item in protocol.read(event):
        assert not isinstance(item, Frame) or json.loads(item.text)["type"]
    assert protocol.defaults.sample_rate in (8_000, 24_000)


def test_errors_of_the_service_are_told_as_such() -> None:
    protocol = RealtimeProtocol(MODELS)
    messages = (Error("not_audio", "no"), Error("internal", "ours"), Reconnect("token"))

    told = [json.loads(frame.text)["error"] for frame in protocol.write(messages)]
    assert [(e["code"], e["type"]) for e in told] == [
        ("not_audio", "invalid_request_error"),
        ("internal", "server_error"),
        ("restart", "server_error"),
    ]
    assert "token" not in json.dumps(told)
