"""Transcripts, and the formats in which they are written: text, SubRip, WebVTT and JSON."""

import html
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal, TypeVar

from voxray.writing_systems import join_texts

Format = Literal["text", "srt", "vtt", "json"]
Task = Literal["transcribe", "translate"]  # what a model writes down: speech as it is, or in English


@dataclass(frozen=True, slots=True)
class Word:
    """One word with its times in seconds from the start of the recording."""

    text: str
    start_s: float
    end_s: float
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech with its text; `words` is empty where they were not asked for."""

    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...] = ()


Timed = TypeVar("Timed", Word, Segment)


def shifted(timed: Timed, by_s: float) -> Timed:
    """Return a word or a segment, `by_s` later."""
    return replace(timed, start_s=timed.start_s + by_s, end_s=timed.end_s + by_s)


@dataclass(frozen=True, slots=True)
class ChannelSegment(Segment):
    """A segment of a recording whose channels were transcribed one by one; `channel` counts from 1."""

    channel: int = 1


def in_channel(segment: Segment, number: int) -> ChannelSegment:
    """Return `segment` as one of channel `number`, from 1."""
    return ChannelSegment(**{f.name: getattr(segment, f.name) for f in fields(segment)}, channel=number)


@dataclass(frozen=True, slots=True)
class Transcript:
    """A whole recording: its segments in order, its language and its length in seconds."""

    segments: tuple[Segment, ...]
    language: str
    duration_s: float

    @property
    def text(self) -> str:
        """Return all segments on one line."""
        return join_texts(s.text for s in self.segments)


def _with_text(transcript: Transcript) -> Iterator[Segment]:
    return (s for s in transcript.segments if s.text.strip())


def _one_line(text: str) -> str:
    """Return `text` without line breaks."""
    return " ".join(text.split())


def _lines(segment: Segment) -> str:
    """Return the text of a segment without its empty lines, which would end a cue."""
    return "\n".join(line for part in segment.text.splitlines() if (line := _one_line(part)))


def _labelled(segment: Segment, text: str) -> str:
    """Return `text` after the number of the segment's channel where it has one."""
    return f"Channel {segment.channel}: {text}" if isinstance(segment, ChannelSegment) else text


def _voice(segment: Segment) -> str:
    """Return the lines of a segment as WebVTT has them: escaped, in a voice span where it has a channel."""
    text = html.escape(_lines(segment), quote=False)
    return f"<v Channel {segment.channel}>{text}" if isinstance(segment, ChannelSegment) else text


def to_text(transcript: Transcript) -> str:
    """Write one line per segment."""
    return "\n".join(_labelled(s, _one_line(s.text)) for s in _with_text(transcript))


def to_srt(transcript: Transcript) -> str:
    """Write SubRip: a numbered cue per segment, times as HH:MM:SS,mmm."""
    cues = (
        f"{i}\n{clock(s.start_s, ',')} --> {clock(s.end_s, ',')}\n{_labelled(s, _lines(s))}\n"
        for i, s in enumerate(_with_text(transcript), start=1)
    )
    return "\n".join(cues)


def to_vtt(transcript: Transcript) -> str:
    """Write WebVTT: a header, then a cue per segment, times as HH:MM:SS.mmm, `&`, `<` and `>` escaped."""
    cues = (
        f"{clock(s.start_s, '.')} --> {clock(s.end_s, '.')}\n{_voice(s)}\n" for s in _with_text(transcript)
    )
    return "\n".join(["WEBVTT\n", *cues])


def to_json(transcript: Transcript) -> str:
    """Write the transcript as one JSON object, keys as the fields of `Transcript`."""
    return json.dumps({"text": transcript.text, **asdict(transcript)}, ensure_ascii=False, indent=1)


def clock(seconds: float, point: str) -> str:
    """Format a time as HH:MM:SS and milliseconds after `point`, as in subtitles."""
    total_ms = round(seconds * 1000)
    minutes, ms = divmod(total_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{ms // 1000:02d}{point}{ms % 1000:03d}"
