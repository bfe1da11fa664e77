import json
from dataclasses import replace
from typing import Any

from voxray.serving.rest.recordings import Heard, Recording
from voxray.serving.rest.request import TranscriptionRequest
from voxray.serving.rest.responses import answer
from voxray.speech import Span
from voxray.transcript import Segment, Word
from voxray.whisper.engines import DecodingResult


def heard(text: str, start_s: float, *, language: str = "en", parts: int = 1) -> Heard:
    """A window of two seconds that begins at `start_s`; `parts` segments, each with `text`."""
    length_s = 2.0 / parts
    segments = tuple(Segment(i * length_s, (i + 1) * length_s, text) for i in range(parts))
    words = tuple(Word(w, i / 2, i / 2 + 0.5, 0.9) for i, w in enumerate(text.split()))
    hypothesis = DecodingResult(text, language, (1, 2), segments, words, -0.25, 0.01, 1.5)
    return Heard(Span(start_s, start_s + 2.0), hypothesis)


RECORDING = Recording((heard("Good morning.", 1.0), heard("", 4.0), heard("<b> & co.", 61.5)), "en", 64.0)


def values(order: TranscriptionRequest, recording: Recording = RECORDING) -> dict[str, Any]:
    told = answer(recording, order)
    assert told.media_type == "application/json"
    made: dict[str, Any] = json.loads(told.body)
    return made


def test_json_is_the_text_on_one_line() -> None:
    assert values(TranscriptionRequest()) == {
        "text": "Good morning. <b> & co.",
        "usage": {"type": "duration", "seconds": 64.0},
    }


def test_text_is_a_line_per_segment() -> None:
    told = answer(RECORDING, TranscriptionRequest(form="text"))

    assert (told.body, told.media_type) == ("Good morning.\n<b> & co.\n", "text/plain")


def test_captions_are_numbered_and_escaped_as_their_format_wants() -> None:
    srt, vtt = (answer(RECORDING, TranscriptionRequest(form=form)) for form in ("srt", "vtt"))

    assert srt.body.startswith("1\n00:00:01,000 --> 00:00:03,000\nGood morning.\n")
    assert "2\n00:01:01,500 --> 00:01:03,500\n<b> & co.\n" in srt.body
    assert vtt.body.startswith("WEBVTT\n\n00:00:01.000 --> 00:00:03.000\n")
    assert "&lt;b&gt; &amp; co." in vtt.body


def test_verbose_json_has_the_scores_of_the_window() -> None:
    told = values(TranscriptionRequest(form="verbose_json"))

    assert {k: told[k] for k in ("task", "language", "duration")} == {
        "task": "transcribe",
        "language": "english",
        "duration": 64.0,
    }
    assert told["segments"][1] == {
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
    assert "words" not in told


def test_words_without_segments_where_only_words_were_asked_for() -> None:
    told = values(TranscriptionRequest(form="verbose_json", words=True, segments=False))

    assert "segments" not in told
    assert told["words"][:2] == [
        {"word": "Good", "start": 1.0, "end": 1.5},
        {"word": "morning.", "start": 1.5, "end": 2.0},
    ]


def test_tokens_are_not_guessed_where_a_window_has_several_segments() -> None:
    told = values(
        TranscriptionRequest(form="verbose_json"), replace(RECORDING, heard=(heard("so", 0.0, parts=2),))
    )

    assert [(s["id"], s["tokens"]) for s in told["segments"]] == [(0, []), (1, [])]


def test_a_translation_is_in_english_whatever_was_spoken() -> None:
    spoken = replace(RECORDING, language="de")

    assert (
        values(TranscriptionRequest(form="verbose_json", task="translate"), spoken)["language"] == "english"
    )
    assert values(TranscriptionRequest(form="verbose_json"), spoken)["language"] == "german"


def test_rewording_reaches_every_place_of_a_text() -> None:
    chinese = Recording((heard("頭髮。", 0.0, language="zh"), heard("。", 3.0, language="zh")), "zh", 5.0)
    order = TranscriptionRequest(
        form="verbose_json", words=True, remove_punctuation=True, simplified_chinese=True
    )
    told = values(order, chinese)

    assert told["text"] == "头发"
    assert [s["text"] for s in told["segments"]] == ["头发"]
    assert [w["word"] for w in told["words"]] == ["头发"]
    assert answer(chinese, replace(order, form="text")).body == "头发\n"
