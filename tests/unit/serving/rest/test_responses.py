import json
from dataclasses import replace
from typing import Any

from voxray.serving.rest.recordings import DecodedRecording, DecodedWindow
from voxray.serving.rest.request import TranscriptionRequest, TranslationRequest
from voxray.serving.rest.responses import transcription_response
from voxray.speech import Span
from voxray.transcript import Segment, Word
from voxray.whisper.engines import DecodingResult


def window(text: str, start_s: float, *, language: str = "en", parts: int = 1) -> DecodedWindow:
    """A window of two seconds that begins at `start_s`; `parts` segments, each with `text`."""
    length_s = 2.0 / parts
    segments = tuple(Segment(i * length_s, (i + 1) * length_s, text) for i in range(parts))
    words = tuple(Word(w, i / 2, i / 2 + 0.5, 0.9) for i, w in enumerate(text.split()))
    result = DecodingResult(text, language, (1, 2), segments, words, -0.25, 0.01, 1.5)
    return DecodedWindow(Span(start_s, start_s + 2.0), result)


RECORDING = DecodedRecording(
    (window("Good morning.", 1.0), window("", 4.0), window("<b> & co.", 61.5)), "en", 64.0
)


def values(request: TranscriptionRequest, recording: DecodedRecording = RECORDING) -> dict[str, Any]:
    response = transcription_response(recording, request)
    assert response.media_type == "application/json"
    made: dict[str, Any] = json.loads(bytes(response.body))
    return made


def test_json_is_the_text_on_one_line() -> None:
    assert values(TranscriptionRequest()) == {
        "text": "Good morning. <b> & co.",
        "usage": {"type": "duration", "seconds": 64.0},
    }


def test_text_is_a_line_per_segment() -> None:
    response = transcription_response(RECORDING, TranscriptionRequest(response_format="text"))

    assert (response.body, response.media_type) == (b"Good morning.\n<b> & co.\n", "text/plain")


def test_captions_are_numbered_and_escaped_as_their_format_wants() -> None:
    srt, vtt = (
        transcription_response(RECORDING, TranscriptionRequest(response_format=form))
        for form in ("srt", "vtt")
    )

    assert bytes(srt.body).startswith(b"1\n00:00:01,000 --> 00:00:03,000\nGood morning.\n")
    assert b"2\n00:01:01,500 --> 00:01:03,500\n<b> & co.\n" in srt.body
    assert bytes(vtt.body).startswith(b"WEBVTT\n\n00:00:01.000 --> 00:00:03.000\n")
    assert b"&lt;b&gt; &amp; co." in vtt.body


def test_verbose_json_has_the_scores_of_the_window() -> None:
    body = values(TranscriptionRequest(response_format="verbose_json"))

    assert {k: body[k] for k in ("task", "language", "duration")} == {
        "task": "transcribe",
        "language": "english",
        "duration": 64.0,
    }
    assert body["segments"][1] == {
        "id": 1,
        "seek": 6150,
        "start": 61.5,
        "end": 63.5,
        "text": "<b> & co.",
        "tokens": [1, 2],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 1.5,
        "no_speech_prob": 0.01,
    }
    assert "words" not in body


def test_words_without_segments_where_only_words_were_asked_for() -> None:
    body = values(TranscriptionRequest(response_format="verbose_json", timestamp_granularities=("word",)))

    assert "segments" not in body
    assert body["words"][:2] == [
        {"word": "Good", "start": 1.0, "end": 1.5, "probability": 0.9},
        {"word": "morning.", "start": 1.5, "end": 2.0, "probability": 0.9},
    ]


def test_tokens_are_not_guessed_where_a_window_has_several_segments() -> None:
    body = values(
        TranscriptionRequest(response_format="verbose_json"),
        replace(RECORDING, windows=(window("so", 0.0, parts=2),)),
    )

    assert [(s["id"], s["tokens"]) for s in body["segments"]] == [(0, []), (1, [])]


def test_a_translation_is_in_english_whatever_was_spoken() -> None:
    spoken = replace(RECORDING, language="de")

    assert values(TranslationRequest(response_format="verbose_json"), spoken)["language"] == "english"
    assert values(TranscriptionRequest(response_format="verbose_json"), spoken)["language"] == "german"


def test_rewording_reaches_every_place_of_a_text() -> None:
    chinese = DecodedRecording(
        (window("頭髮。", 0.0, language="zh"), window("。", 3.0, language="zh")), "zh", 5.0
    )
    request = TranscriptionRequest(
        response_format="verbose_json",
        timestamp_granularities=("word", "segment"),
        remove_punctuation=True,
        simplified_chinese=True,
    )
    body = values(request, chinese)

    assert body["text"] == "头发"
    assert [s["text"] for s in body["segments"]] == ["头发"]
    assert [w["word"] for w in body["words"]] == ["头发"]
    assert (
        transcription_response(chinese, request.model_copy(update={"response_format": "text"})).body
        == "头发\n".encode()
    )
