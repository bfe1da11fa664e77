"""Transcripts as responses: the five formats of OpenAI's API, and its server-sent events."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from voxray.audio import FRAMES_PER_SECOND
from voxray.captions import as_cues
from voxray.errors import VoxrayError
from voxray.languages import name_of
from voxray.serving.api_error import api_error_of
from voxray.serving.rest.bodies import (
    PlainTranscription,
    TextDelta,
    TextDone,
    TextSegment,
    Usage,
    VerboseSegment,
    VerboseTranscription,
    VerboseWord,
)
from voxray.serving.rest.recordings import DecodedRecording, DecodedWindow, RecordingDecoder
from voxray.serving.rest.request import TranscriptionRequest
from voxray.serving.rest.text_filters import TextFilter, filtered_segment, text_filter
from voxray.transcript import Segment, Transcript, to_srt, to_text, to_vtt
from voxray.writing_systems import join_texts

TEMPERATURE = 0.0  # windows are decoded greedily, whatever was asked for

MEDIA_TYPES = {
    "json": "application/json",
    "verbose_json": "application/json",
    "text": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
}


@dataclass(frozen=True, slots=True)
class DecodedSegment:
    """A segment after text filters, and the window that it was decoded from."""

    segment: Segment
    window: DecodedWindow


def transcription_response(recording: DecodedRecording, request: TranscriptionRequest) -> Response:
    """Return `recording` in the format of `request`.

    `text`, `srt` and `vtt` are what `voxray transcribe` prints, byte for byte.
    """
    change = _filter(request, recording.language)
    segments = [s for window in recording.windows for s in decoded_segments(window, change)]
    segments.sort(key=lambda s: s.segment.start_s)  # those of several channels overlap
    transcript = Transcript(tuple(s.segment for s in segments), recording.language, recording.duration_s)
    body = _body(transcript, segments, request)
    return Response(body, media_type=MEDIA_TYPES[request.response_format])


def decoded_segments(window: DecodedWindow, change: TextFilter) -> list[DecodedSegment]:
    """Return the segments of a window with their text changed, without those that have none left."""
    segments = (filtered_segment(segment, change) for segment in window.segments)
    return [DecodedSegment(segment, window) for segment in segments if segment.text]


async def events(decoder: RecordingDecoder, request: TranscriptionRequest) -> AsyncGenerator[str, None]:
    """Yield server-sent events: a `TextDelta` for each window with words, then `TextDone`.

    With `verbose_json`, or words, a `TextSegment` for each segment follows the delta of its window. Where
    the service fails on the way, the last event is an error.
    """
    parts: list[str] = []
    numbers = count()
    try:
        async with aclosing(decoder.windows_in_order()) as windows:
            async for window in windows:
                segments = decoded_segments(window, _filter(request, window.result.language))
                if text := join_texts(s.segment.text for s in segments):
                    parts.append(join_texts([*parts[-1:], text]).removeprefix(parts[-1] if parts else ""))
                    yield _event(TextDelta(delta=parts[-1]))
                if request.words or request.response_format == "verbose_json":
                    for segment in segments:
                        yield _segment_event(next(numbers), segment.segment, request)
    except VoxrayError as e:
        yield _event(api_error_of(e).body)
        return
    yield _event(TextDone(text="".join(parts)))


def _filter(request: TranscriptionRequest, language: str) -> TextFilter:
    return text_filter(
        language,
        remove_punctuation=request.remove_punctuation,
        simplified_chinese=request.simplified_chinese,
    )


def _event(body: BaseModel, left_out: set[str] | None = None) -> str:
    return f"data: {body.model_dump_json(exclude=left_out)}\n\n"


def _segment_event(number: int, segment: Segment, request: TranscriptionRequest) -> str:
    body = TextSegment(
        id=str(number),
        start=segment.start_s,
        end=segment.end_s,
        text=segment.text,
        words=_words([segment]),
    )
    return _event(body, left_out=set() if request.words else {"words"})


def _body(transcript: Transcript, segments: list[DecodedSegment], request: TranscriptionRequest) -> str:
    match request.response_format:
        case "text":
            return to_text(transcript) + "\n"
        case "srt":
            return to_srt(as_cues(transcript)) + "\n"
        case "vtt":
            return to_vtt(as_cues(transcript)) + "\n"
        case "json":
            usage = Usage(seconds=transcript.duration_s)
            plain = PlainTranscription(text=transcript.text, usage=usage, words=_words(transcript.segments))
            return plain.model_dump_json(exclude=set() if request.words else {"words"})
        case "verbose_json":
            wanted = {"words": request.words, "segments": request.segments}
            left_out: dict[str, Any] = {name: True for name, is_wanted in wanted.items() if not is_wanted}
            if not request.multichannel:
                left_out.setdefault("segments", {"__all__": {"channel"}})
            return _verbose(transcript, segments, request).model_dump_json(exclude=left_out)


def _verbose(
    transcript: Transcript, segments: list[DecodedSegment], request: TranscriptionRequest
) -> VerboseTranscription:
    return VerboseTranscription(
        task=request.task,
        language=name_of("en" if request.task == "translate" else transcript.language),
        duration=transcript.duration_s,
        text=transcript.text,
        usage=Usage(seconds=transcript.duration_s),
        words=_words(transcript.segments),
        segments=tuple(_verbose_segment(i, segment) for i, segment in enumerate(segments)),
    )


def _words(segments: Sequence[Segment]) -> tuple[VerboseWord, ...]:
    return tuple(
        VerboseWord(word=w.text, start=w.start_s, end=w.end_s, probability=w.probability)
        for segment in segments
        for w in segment.words
    )


def _verbose_segment(number: int, decoded: DecodedSegment) -> VerboseSegment:
    """Return a segment with the scores of its window, and with its tokens if it is all of the window."""
    segment, result = decoded.segment, decoded.window.result
    return VerboseSegment(
        id=number,
        seek=round(decoded.window.span.start_s * FRAMES_PER_SECOND),  # in log-mel frames, as Whisper counts
        start=segment.start_s,
        end=segment.end_s,
        text=segment.text,
        tokens=result.tokens if len(result.segments) == 1 else (),
        temperature=TEMPERATURE,
        avg_logprob=result.avg_logprob,
        compression_ratio=result.compression_ratio,
        no_speech_prob=result.no_speech_prob,
        channel=decoded.window.channel,
    )
