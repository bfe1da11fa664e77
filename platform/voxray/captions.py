"""Captions: a transcript cut into cues that a viewer can read, and its formats chosen by name."""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace

from voxray.transcript import (
    ChannelSegment,
    Format,
    Segment,
    Transcript,
    Word,
    in_channel,
    to_json,
    to_srt,
    to_text,
    to_vtt,
)
from voxray.word_segmentation import find_words, split_words

MAX_CUE_S = 7.0
MAX_LINES = 2
LINE_COLUMNS = 42.0  # of Latin letters (Netflix, Timed Text Style Guide: general requirements)
WIDE_COLUMNS = 2.6  # of one East Asian letter, so that a line has 16 of them (the guide for Chinese)
MAX_PAUSE_S = 2.0  # a longer one ends a cue, which would stand there without speech


def render(transcript: Transcript, form: Format) -> str:
    """Write the transcript as `text` (a line per segment), `srt`, `vtt` or `json`."""
    match form:
        case "text":
            return to_text(transcript)
        case "json":
            return to_json(transcript)
        case "srt":
            return to_srt(as_cues(transcript))
        case "vtt":
            return to_vtt(as_cues(transcript))


def as_cues(transcript: Transcript) -> Transcript:
    """Return `transcript` with a segment per cue: at most `MAX_LINES` lines and `MAX_CUE_S` seconds.

    Cues are cut between words. Without word times, a segment's time is shared out by the width of its text.
    """
    cues = list[Segment]()
    for segment in transcript.segments:
        own = split_segment(segment)
        cues += (in_channel(c, segment.channel) for c in own) if isinstance(segment, ChannelSegment) else own
    return replace(transcript, segments=tuple(cues))


def split_segment(segment: Segment) -> Iterator[Segment]:
    """Yield the cues of `segment`, their lines joined by line breaks."""
    cue: list[Word] = []
    for word in timed_words(segment):
        if cue and not _fits(cue, word):
            yield _cue(cue)
            cue = []
        cue.append(word)
    if cue:
        yield _cue(cue)


def timed_words(segment: Segment) -> list[Word]:
    """Return the words of the segment's text, each with the spaces before it."""
    text = " ".join(segment.text.split())
    parts = [part for word in split_words(text) for part in _line_parts(word)]
    starts = find_words(text, (word.text for word in segment.words))
    if not starts:
        return _shared_out(parts, segment)
    at, words = 0, []
    for part in parts:
        inner = at + len(part) - len(part.lstrip())
        said = max(bisect_right(starts, inner) - 1, 0)
        words.append(replace(segment.words[said], text=part))
        at += len(part)
    return words


def _shared_out(parts: Sequence[str], segment: Segment) -> list[Word]:
    """Return `parts` of a segment's text with times in proportion to their widths."""
    total = sum(map(columns, parts)) or 1.0
    words, at = list[Word](), 0.0
    for part in parts:
        start_s, at = _within(segment, at / total), at + columns(part)
        words.append(Word(part, start_s, _within(segment, at / total)))
    return words


def _within(segment: Segment, share: float) -> float:
    return segment.start_s + share * (segment.end_s - segment.start_s)


def columns(text: str) -> float:
    """Return the width of `text` in columns of Latin letters; marks have none."""
    return sum(map(_columns, text))


def _columns(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return WIDE_COLUMNS
    return 0.0 if unicodedata.category(character) in ("Mn", "Me", "Cf") else 1.0


def _line_parts(word: str) -> Iterator[str]:
    """Yield `word` in parts that fit on a line: an address, or a script that marks no words."""
    part = ""
    for character in word:
        if columns(part + character) > LINE_COLUMNS:
            yield part
            part = ""
        part += character
    yield part


def _fits(cue: Sequence[Word], word: Word) -> bool:
    return (
        word.end_s - cue[0].start_s <= MAX_CUE_S
        and word.start_s - cue[-1].end_s <= MAX_PAUSE_S
        and len(lines([*(w.text for w in cue), word.text])) <= MAX_LINES
    )


def lines(parts: Sequence[str]) -> list[str]:
    """Return `parts` of a text on lines of at most `LINE_COLUMNS`."""
    found = [""]
    for part in parts:
        if found[-1] and columns((found[-1] + part).strip()) > LINE_COLUMNS:
            found.append("")
        found[-1] += part
    return [line.strip() for line in found]


def _cue(words: Sequence[Word]) -> Segment:
    start_s, end_s = words[0].start_s, words[-1].end_s
    text = "\n".join(lines([w.text for w in words]))
    return Segment(start_s, min(end_s, start_s + MAX_CUE_S), text)
