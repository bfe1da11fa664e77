"""What was heard, in the five formats of OpenAI's API, and as its server-sent events."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from voxray.errors import VoxrayError
from voxray.languages import name_of
from voxray.serving.api_error import api_error_of
from voxray.serving.rest.recordings import Heard, Hearing, Recording
from voxray.serving.rest.request import TranscriptionRequest
from voxray.serving.rest.text_filters import Wording, reworded, wording
from voxray.transcript import Segment, Transcript, Word, to_srt, to_text, to_vtt

TEMPERATURE = 0.0  # windows are decoded greedily, whatever was asked for
FRAMES_PER_SECOND = 100  # `seek` counts Whisper's frames of 10 ms

MEDIA_TYPES = {
    "json": "application/json",
    "verbose_json": "application/json",
    "text": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of a response, and what it is."""

    body: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Told:
    """A segment as the client is told it, and the window that it was heard in."""

    segment: Segment
    window: Heard


def answer(recording: Recording, order: TranscriptionRequest) -> Answer:
    """`recording` in the format that was ordered.

    `text`, `srt` and `vtt` are what `voxray transcribe` prints, byte for byte.
    """
    told = [t for heard in recording.heard for t in tell(heard, _wording(order, recording.language))]
    transcript = Transcript(tuple(t.segment for t in told), recording.language, recording.duration_s)
    return Answer(_body(transcript, told, order), MEDIA_TYPES[order.form])


def tell(heard: Heard, change: Wording) -> list[Told]:
    """The segments of one window, reworded; those of which nothing is left are dropped."""
    segments = (reworded(segment, change) for segment in heard.segments)
    return [Told(segment, heard) for segment in segments if segment.text]


async def events(hearing: Hearing, order: TranscriptionRequest) -> AsyncGenerator[str, None]:
    """Server-sent events: a `transcript.text.delta` for each window with words, then `transcript.text.done`.

    The deltas together are the text of `done`. Where the service fails on the way, an `error` is last.
    """
    parts: list[str] = []
    try:
        async with aclosing(hearing.in_order()) as windows:
            async for heard in windows:
                told = tell(heard, _wording(order, heard.hypothesis.language))
                if text := " ".join(t.segment.text for t in told):
                    parts.append(f" {text}" if parts else text)
                    yield _event({"type": "transcript.text.delta", "delta": parts[-1]})
    except VoxrayError as e:
        yield _event(api_error_of(e).body)
        return
    yield _event({"type": "transcript.text.done", "text": "".join(parts)})


def _wording(order: TranscriptionRequest, language: str) -> Wording:
    return wording(
        language,
        remove_punctuation=order.remove_punctuation,
        simplified_chinese=order.simplified_chinese,
    )


def _event(values: dict[str, Any]) -> str:
    return f"data: {_json(values)}\n\n"


def _body(transcript: Transcript, told: list[Told], order: TranscriptionRequest) -> str:
    match order.form:
        case "text":
            return to_text(transcript) + "\n"
        case "srt":
            return to_srt(transcript) + "\n"
        case "vtt":
            return to_vtt(transcript) + "\n"
        case "json":
            return _json({"text": transcript.text, "usage": _usage(transcript)})
        case "verbose_json":
            return _json(_verbose(transcript, told, order))


def _verbose(transcript: Transcript, told: list[Told], order: TranscriptionRequest) -> dict[str, Any]:
    """OpenAI's keys; a translation's language is that of its text."""
    values: dict[str, Any] = {
        "task": order.task,
        "language": name_of("en" if order.task == "translate" else transcript.language),
        "duration": transcript.duration_s,
        "text": transcript.text,
        "usage": _usage(transcript),
    }
    if order.words:
        values["words"] = [_word(word) for segment in transcript.segments for word in segment.words]
    if order.segments:
        values["segments"] = [_segment(i, t) for i, t in enumerate(told)]
    return values


def _usage(transcript: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": transcript.duration_s}


def _word(word: Word) -> dict[str, Any]:
    return {"word": word.text, "start": word.start_s, "end": word.end_s}


def _segment(number: int, told: Told) -> dict[str, Any]:
    """OpenAI's keys; scores are those of the window, and tokens where the window is one segment."""
    segment, hypothesis = told.segment, told.window.hypothesis
    return {
        "id": number,
        "seek": round(told.window.span.start_s * FRAMES_PER_SECOND),
        "start": segment.start_s,
        "end": segment.end_s,
        "text": segment.text,
        "tokens": list(hypothesis.tokens) if len(hypothesis.segments) == 1 else [],
        "temperature": TEMPERATURE,
        "avg_logprob": hypothesis.avg_logprob,
        "compression_ratio": hypothesis.compression_ratio,
        "no_speech_prob": hypothesis.no_speech_prob,
    }


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, allow_nan=False)
