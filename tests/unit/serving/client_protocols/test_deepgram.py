"""A stream of Deepgram's: options and audio in, its messages out."""

import contextlib
import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scripted_engine import Script
from tests.unit.serving.client_protocols.talk import JSON, Talk

from voxray.errors import WireError
from voxray.serving.client_protocols.base import Closing, Frame
from voxray.serving.client_protocols.deepgram import DeepgramProtocol
from voxray.serving.client_protocols.deepgram_options import DeepgramOptions, parse_options
from voxray.wire import Close, Error, Reconnect

MODELS = ("tiny.en", "other")
RAW = {"encoding": "linear16", "sample_rate": "16000"}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def options_of(*lists: tuple[str, str], **query: str) -> DeepgramOptions:
    return parse_options([*{**RAW, **query}.items(), *lists], MODELS)


def talk_of(text: str, **query: str) -> Talk:
    return Talk(DeepgramProtocol(options_of(**query), lambda: NOW), Script.of(text, pause_s=2.0))


def say(talk: Talk, kind: str) -> None:
    talk.send(json.dumps({"type": kind}))
    talk.settle()


def texts(results: list[dict[str, Any]]) -> list[str]:
    return [m["channel"]["alternatives"][0]["transcript"] for m in results]


def finals(talk: Talk) -> list[dict[str, Any]]:
    return [m for m in talk.of("Results") if m["is_final"]]


def test_a_stream_from_its_first_word_to_its_metadata() -> None:
    talk = talk_of("One two, three.\nFour five.", smart_format="true", vad_events="true")
    talk.say(60)
    say(talk, "CloseStream")

    kinds = [m["type"] for m in talk.sent]
    assert kinds == ["SpeechStarted", "Results"] * 2 + ["Metadata"]
    assert texts(finals(talk)) == ["One two, three.", "Four five."]
    assert all(m["speech_final"] and not m["from_finalize"] for m in finals(talk))
    assert talk.close is Close.NORMAL
    metadata = talk.sent[-1]
    said = Script.of("One two, three.\nFour five.", pause_s=2.0).pcm().tobytes()
    assert metadata["sha256"] == sha256(said).hexdigest()
    assert (metadata["created"], metadata["channels"]) == ("2026-01-02T03:04:05.000Z", 1)
    assert metadata["request_id"] == finals(talk)[0]["metadata"]["request_id"]
    assert metadata["model_info"][metadata["models"][0]]["name"] == "scripted"


def test_words_have_times_and_confidence() -> None:
    talk = talk_of("One two, three.", punctuate="true")
    talk.say(60)
    (result,) = finals(talk)
    words = result["channel"]["alternatives"][0]["words"]

    assert [(w["word"], w["punctuated_word"]) for w in words] == [
        ("one", "One"),
        ("two", "two,"),
        ("three", "three."),
    ]
    assert all(result["start"] <= w["start"] < w["end"] for w in words)
    assert words[-1]["end"] <= result["start"] + result["duration"] + 0.3
    assert all(0 <= w["confidence"] <= 1 for w in words)


def test_text_has_no_punctuation_unless_asked_for() -> None:
    talk = talk_of("One two, three.")
    talk.say(60)

    assert texts(finals(talk)) == ["one two three"]
    assert "punctuated_word" not in finals(talk)[0]["channel"]["alternatives"][0]["words"][0]


def test_interim_results_come_where_asked_for() -> None:
    text = "one two three four five six seven eight"
    asked, silent = talk_of(text, interim_results="true"), talk_of(text)
    for talk in (asked, silent):
        talk.say(60)

    interims = [m for m in asked.of("Results") if not m["is_final"]]
    assert len(interims) > 2
    assert all(text.startswith(t) for t in texts(interims))
    assert not any(m["speech_final"] for m in interims)
    assert all(m["is_final"] for m in silent.of("Results"))


def test_a_long_turn_is_final_in_parts_and_ends_once() -> None:
    talk = talk_of(" ".join(f"word{n}" for n in range(60)), vad_events="true")
    talk.say(60)

    assert len(finals(talk)) > 1
    assert [m["speech_final"] for m in finals(talk)] == [False] * (len(finals(talk)) - 1) + [True]
    assert len(talk.of("SpeechStarted")) == 1


def test_finalize_is_answered_once_whether_or_not_there_was_speech() -> None:
    talk = talk_of("one two three four five six")
    talk.say(3.5)
    say(talk, "Finalize")
    say(talk, "Finalize")

    assert [m["from_finalize"] for m in finals(talk)] == [True, True]
    assert texts(finals(talk))[0].startswith("one two three")
    assert texts(finals(talk))[1] == ""


def test_endpointing_that_is_off_ends_no_speech() -> None:
    talk = talk_of("one two\nthree", endpointing="false")
    talk.say(60)

    assert texts(finals(talk)) == ["one two", "three"]
    assert not any(m["speech_final"] for m in finals(talk))


def test_an_utterance_ends_after_the_silence_that_was_asked_for() -> None:
    talk = talk_of("one two three\nfour", interim_results="true", utterance_end_ms="1000")
    talk.say(60)
    say(talk, "CloseStream")

    ends = talk.of("UtteranceEnd")
    last_words = [m["channel"]["alternatives"][0]["words"][-1]["end"] for m in finals(talk)]
    assert [m["last_word_end"] for m in ends] == last_words
    kinds = [m["type"] for m in talk.sent if m["type"] != "Results" or m["is_final"]]
    assert kinds == ["Results", "UtteranceEnd"] * 2 + ["Metadata"]


@pytest.mark.parametrize("frame", [b"", '{"type": "CloseStream"}'])
def test_a_stream_without_audio_ends_with_its_metadata(frame: str | bytes) -> None:
    talk = talk_of("one")
    talk.send('{"type": "KeepAlive"}')
    talk.send(frame)
    talk.settle()

    assert [m["type"] for m in talk.sent] == ["Metadata"]
    assert talk.sent[0]["duration"] == 0.0


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.floats(0.2, 4.0), st.sampled_from(["", "Finalize", "KeepAlive"])), max_size=6))
def test_finals_are_all_that_was_said_however_it_is_flushed(actions: list[tuple[float, str]]) -> None:
    text = "one two three four\n" + " ".join(f"word{n}" for n in range(40)) + "\nthe end"
    talk = talk_of(text, interim_results="true", smart_format="true")
    for seconds, kind in actions:
        talk.say(seconds)
        if kind:
            talk.send(json.dumps({"type": kind}))
    talk.say(600)
    say(talk, "CloseStream")

    flushes = sum(kind == "Finalize" for _, kind in actions)
    assert sum(m["from_finalize"] for m in finals(talk)) == flushes
    starts = [m["start"] for m in finals(talk)]
    assert starts == sorted(starts)
    if not flushes:
        assert " ".join(texts(finals(talk))).split() == text.split()


# Messages that are refused, and ends.


@pytest.mark.parametrize(
    "frame", ["no json", "[]", '{"type": "Begin"}', "{}", '{"type": ["a"]}', "[" * 100_000]
)
def test_what_is_no_message_is_an_error_and_the_stream_goes_on(frame: str) -> None:
    talk = talk_of("one two")
    talk.send(frame)
    talk.say(60)

    (error,) = talk.of("Error")
    assert error["variant"] == "SchemaError"
    assert error["description"].startswith("expected type KeepAlive, Finalize, CloseStream, got ")
    assert len(json.dumps(error)) < 800
    assert texts(finals(talk)) == ["one two"]


@given(st.dictionaries(st.sampled_from(["type", "channel"]), JSON) | JSON | st.text())
def test_whatever_a_message_is_it_is_answered(value: object) -> None:
    told = DeepgramProtocol(options_of()).read(json.dumps(value))

    assert [json.loads(f.text)["type"] for f in told if isinstance(f, Frame)] == ["Error"] * len(told)


@given(st.lists(st.tuples(st.sampled_from([*DeepgramOptions.model_fields]) | st.text(), st.text())))
def test_whatever_is_in_the_url_it_is_an_option_or_named(query: list[tuple[str, str]]) -> None:
    with contextlib.suppress(WireError):
        assert parse_options(query, MODELS).start


def test_a_name_of_deepgrams_is_the_default_unless_a_model_has_it() -> None:
    asked = [options_of(model=name).start.model for name in ("nova-3", "other", "tiny.en")]

    assert asked == [None, "other", "tiny.en"]
    assert options_of().start.model is None
    assert parse_options([*RAW.items(), ("model", "base")], (*MODELS, "base")).start.model == "base"


def test_options_cannot_be_changed_on_the_way() -> None:
    talk = talk_of("one")
    talk.send('{"type": "Configure", "keyterms": ["Ray"]}')

    assert talk.sent[0]["type"] == "ConfigureFailure"
    assert talk.sent[0]["code"] == "CONFIGURE_KEYTERMS_NOT_SUPPORTED"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        ("not_audio", Close.NOT_AUDIO, (1008, "DATA-0000")),
        ("silent", Close.BAD_MESSAGE, (1011, "NET-0001")),
        ("internal", Close.RESTART, (1011, "NET-0000")),
        ("too_fast", Close.BAD_MESSAGE, (1008, "too_fast")),
        ("lagging", Close.FULL, (1013, "lagging")),
    ],
)
def test_errors_close_as_deepgram_does(error: str, code: Close, told: tuple[int, str]) -> None:
    protocol = DeepgramProtocol(options_of())
    (frame,) = protocol.write([Error(error, "expected this, got that.")])

    assert json.loads(frame.text) == {
        "type": "Error",
        "variant": error,
        "description": "expected this, got that.",
    }
    closing = protocol.closing(Closing(code, error))
    assert (closing.code, closing.reason) == told
    assert b"token" not in protocol.write([Reconnect("token")])[0].text.encode()


# Options.


def test_options_become_those_of_the_session() -> None:
    found = options_of(
        ("keyterm", "Ray"),
        ("keyterm", "Voxray"),
        ("keywords", "Serve:2"),
        encoding="mulaw",
        sample_rate="8000",
        channels="2",
        language="en-US",
        model="nova-3",
        endpointing="450",
        filler_words="true",
        profanity_filter="false",
    ).start

    assert (found.encoding, found.sample_rate, found.channels, found.language) == ("mulaw", 8_000, 2, "en")
    assert (found.hotwords, found.endpoint_ms, found.words) == ("Ray, Voxray, Serve", 450, True)
    assert not found.partials


@pytest.mark.parametrize(
    ("endpointing", "ms"), [(None, 300), ("10", 300), ("9000", 5_000), ("true", 600), ("false", 600)]
)
def test_the_silence_before_an_end_is_the_nearest_that_can_be(endpointing: str | None, ms: int) -> None:
    query = {} if endpointing is None else {"endpointing": endpointing}

    assert options_of(**query).start.endpoint_ms == ms


@pytest.mark.parametrize(
    "query", [{}, {"encoding": "flac"}, {"encoding": "ogg-opus", "sample_rate": "48000"}]
)
def test_without_raw_audio_it_is_a_container(query: dict[str, str]) -> None:
    assert parse_options(query.items(), MODELS).start.encoding == "container"


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"encoding": "opus"}, "encoding: expected linear16, .* or a container without encoding, got 'opus'"),
        ({"sample_rate": "1000000"}, "sample_rate: expected less than or equal to 384000, got '1000000'"),
        ({"sample_rate": "fast"}, "sample_rate: expected a valid integer.*, got 'fast'"),
        ({"multichannel": "true", "channels": "9"}, "channels: expected at most 8 with multichannel, got 9"),
        ({"language": "xx"}, "language: expected a language .*, got 'xx'"),
        ({"model": "large-v3"}, r"model: expected one of tiny\.en, other, .* got 'large-v3'"),
        ({"diarize": "true"}, "diarize: expected false"),
        ({"redact": "pci"}, "redact: expected false"),
        ({"utterance_end_ms": "1000"}, "utterance_end_ms: expected interim_results=true"),
        ({"utterance_end_ms": "10", "interim_results": "true"}, "utterance_end_ms: expected greater"),
        ({"keyterm": "k" * 2_001}, "keyterm: expected at most 2000 characters in all, got 2001"),
        ({"endpointing": "soon"}, "endpointing: expected a valid integer.*, got 'soon'"),
        ({"punctuation": "true"}, "punctuation: expected an option"),
    ],
)
def test_options_that_cannot_be_are_named(query: dict[str, str], error: str) -> None:
    with pytest.raises(WireError, match=error) as caught:
        options_of(**query)

    assert len(str(caught.value)) < 300


def test_the_channels_of_a_container_are_mixed() -> None:
    with pytest.raises(WireError, match="multichannel: expected an encoding of samples"):
        parse_options([("multichannel", "true"), ("channels", "2")], MODELS)


def test_channels_are_transcribed_by_themselves_where_asked_for() -> None:
    def found(**query: str) -> tuple[int, bool]:
        start = options_of(**query).start
        return start.channels, start.multichannel

    assert found(channels="2", multichannel="true") == (2, True)
    assert found(channels="2") == (2, False)
    assert found(multichannel="true") == (1, False)


def test_raw_audio_needs_its_rate() -> None:
    with pytest.raises(WireError, match="sample_rate: expected one with encoding linear16, got none"):
        parse_options([("encoding", "linear16")], MODELS)


def test_any_language_is_detected() -> None:
    assert options_of(language="multi").start.language is None
