"""Transcripts, and the formats in which they are written: text, SubRip, WebVTT and JSON."""

import html
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

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

    def render(self, form: Format) -> str:
        """Write the transcript as `text` (a line per segment), `srt`, `vtt` or `json`."""
        return {"text": to_text, "srt": to_srt, "vtt": to_vtt, "json": to_json}[form](self)


def _with_text(transcript: Transcript) -> Iterator[Segment]:
    return (s for s in transcript.segments if s.text.strip())


def _one_line(text: str) -> str:
    """Return `text` without line breaks: an empty line would end a cue."""
    return " ".join(text.split())


def to_text(transcript: Transcript) -> str:
    """Write one line per segment."""
    return "\n".join(_one_line(s.text) for s in _with_text(transcript))


def to_srt(transcript: Transcript) -> str:
    """Write SubRip: numbered cues, times as HH:MM:SS,mmm."""
    cues = (
        f"{i}\n{clock(s.start_s, ',')} --> {clock(s.end_s, ',')}\n{_one_line(s.text)}\n"
        for i, s in enumerate(_with_text(transcript), start=1)
    )
    return "\n".join(cues)


def to_vtt(transcript: Transcript) -> str:
    """Write WebVTT: a header, then cues with times as HH:MM:SS.mmm; `&`, `<` and `>` are escaped."""
    cues = (
        f"{clock(s.start_s, '.')} --> {clock(s.end_s, '.')}\n{html.escape(_one_line(s.text), quote=False)}\n"
        for s in _with_text(transcript)
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
