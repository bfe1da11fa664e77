"""Voice activity detection, and how to cut a recording of any length into windows at its pauses.

Silero's model runs under onnxruntime (as faster-whisper carries it), without torch. What is decided from its
spans is pure: `split_long`, `join_spans`, `pad_spans`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from voxray.audio import MAX_HOLE_S, SAMPLE_RATE, WINDOW_S, Block, Pcm, duration_s, quietest_s, to_float

THRESHOLD = 0.2  # Silero's own 0.5 lost 5 % of words in telephone-band digits; white noise passes neither
CERTAIN = 0.5  # which speech reaches somewhere (0.9 in 48 telephone clips), and noise and music do not (0.42)
SHORT_S = 3.0  # of speech in a window: longer ones are not asked whether they reach CERTAIN
NEAR_S = 5.0  # how far before the limit that stretch is looked for
PAD_S = 0.2  # of what surrounds speech, kept in a window: quiet edges are easy to miss
MAX_PAUSE_S = 0.6  # in one window; a small model takes one utterance at a time
SECTION_S = 600.0  # of a long recording in memory at a time
SECTION_END_S = 60.0  # a section ends in the longest pause of its last so many seconds


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a recording, in seconds."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """How long it lasts."""
        return self.end_s - self.start_s


def speech_spans(
    pcm: Pcm, *, threshold: float = THRESHOLD, min_speech_s: float = 0.0, min_pause_s: float = 0.1
) -> list[Span]:
    """Return the stretches of `pcm` that hold speech, in order, without any margin.

    `threshold` is on the model's probability; shorter speech is dropped and shorter pauses are bridged.
    """
    # Imported here: the layers above this one are read without onnxruntime.
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    if not len(pcm):
        return []
    options = VadOptions(
        threshold=threshold,
        min_speech_duration_ms=round(min_speech_s * 1000),
        min_silence_duration_ms=round(min_pause_s * 1000),
        speech_pad_ms=0,
    )
    found = get_speech_timestamps(to_float(pcm), options)
    return [Span(f["start"] / SAMPLE_RATE, min(f["end"], len(pcm)) / SAMPLE_RATE) for f in found]


def cut_at_pauses(
    pcm: Pcm, max_s: float = WINDOW_S, *, max_pause_s: float | None = MAX_PAUSE_S, pad_s: float = PAD_S
) -> list[Span]:
    """Return windows of at most `max_s` seconds that hold all speech of `pcm`, in order, without overlap.

    Speech on both sides of a pause longer than `max_pause_s` never shares a window (None: it may); where a
    window grows too long it is cut at the longest pause in its second half. Speech is cut only where one
    stretch of it lasts longer than `max_s`, at its quietest place near the limit. Each window keeps up to
    `pad_s` of what surrounds it. Noise that passes for speech for a moment makes no window.
    """
    speech = split_long(pcm, speech_spans(pcm), max_s)
    windows = pad_spans(join_spans(speech, max_s, max_pause_s), pad_s, max_s, duration_s(pcm))
    return [
        window
        for window, speech_s in zip(windows, lengths_within(speech, windows), strict=True)
        if speech_s > SHORT_S or speech_spans(part(pcm, window), threshold=CERTAIN)
    ]


def lengths_within(spans: Sequence[Span], windows: Sequence[Span]) -> list[float]:
    """Return how many seconds of `spans` each of `windows` holds; both are in order."""
    starts = [s.start_s for s in spans]
    total = [0.0, *accumulate(s.length_s for s in spans)]
    return [total[bisect_left(starts, w.end_s)] - total[bisect_left(starts, w.start_s)] for w in windows]


def part(pcm: Pcm, span: Span) -> Pcm:
    """Return the samples of `span`, a view."""
    return pcm[round(span.start_s * SAMPLE_RATE) : round(span.end_s * SAMPLE_RATE)]


def join_spans(spans: Sequence[Span], max_s: float, max_pause_s: float | None = None) -> list[Span]:
    """Join neighbouring spans (each at most `max_s`) into windows of at most `max_s`.

    A pause longer than `max_pause_s` always ends a window.
    """
    windows: list[Span] = []
    at = 0
    while at < len(spans):
        end = _window_end(spans, at, max_s, max_pause_s)
        windows.append(Span(spans[at].start_s, spans[end - 1].end_s))
        at = end
    return windows


def _window_end(spans: Sequence[Span], at: int, max_s: float, max_pause_s: float | None) -> int:
    """Return the index after the last span of the window that begins with span `at`."""
    end = at + 1
    while end < len(spans) and spans[end].end_s - spans[at].start_s <= max_s:
        if max_pause_s is not None and _pause_s(spans, end) > max_pause_s:
            return end
        end += 1
    if end == len(spans):
        return end
    late = [i for i in range(at + 1, end + 1) if spans[i - 1].end_s - spans[at].start_s >= max_s / 2]
    return max(late or range(at + 1, end + 1), key=lambda i: (_pause_s(spans, i), i))


def _pause_s(spans: Sequence[Span], i: int) -> float:
    """Return the length of the pause before span `i`."""
    return spans[i].start_s - spans[i - 1].end_s


def pad_spans(spans: Sequence[Span], pad_s: float, max_s: float, lasts_s: float) -> list[Span]:
    """Widen each span by up to `pad_s` on both sides.

    It stays inside the recording of `lasts_s`, within `max_s`, and on its half of the pause to its neighbour.
    """
    before = [0.0, *(s.end_s for s in spans)]
    after = [*(s.start_s for s in spans[1:]), lasts_s]
    padded = []
    for i, (span, last_s, next_s) in enumerate(zip(spans, before, after, strict=False)):
        room_s = min(pad_s, max(0.0, max_s - span.length_s) / 2)
        left_s = (span.start_s - last_s) * (0.5 if i else 1.0)
        right_s = (next_s - span.end_s) * (0.5 if i + 1 < len(spans) else 1.0)
        padded.append(
            Span(span.start_s - max(0.0, min(room_s, left_s)), span.end_s + max(0.0, min(room_s, right_s)))
        )
    return padded


def split_long(pcm: Pcm, spans: Sequence[Span], max_s: float) -> list[Span]:
    """Cut the spans longer than `max_s` at their quietest stretch near the limit."""
    return [piece for span in spans for piece in _pieces(pcm, span, max_s)]


def _pieces(pcm: Pcm, span: Span, max_s: float) -> list[Span]:
    pieces = []
    start_s = span.start_s
    while span.end_s - start_s > max_s:
        near_s = min(NEAR_S, max_s / 2)
        cut_s = quietest_s(pcm, start_s + max_s - near_s, start_s + max_s)
        pieces.append(Span(start_s, cut_s))
        start_s = cut_s
    return [*pieces, Span(start_s, span.end_s)]


def sections(blocks: Iterable[Block], section_s: float = SECTION_S) -> Iterator[Block]:
    """Yield `blocks` again as sections of at most `section_s`, cut at pauses; all samples, in order.

    A hole between blocks is silence in its section, but one longer than `MAX_HOLE_S` ends the section, and
    the next one starts after it, so that it takes no memory.
    """
    held, start = bytearray(), 0
    for block in blocks:
        hole = block.start - start - len(held) // 2
        if hole > MAX_HOLE_S * SAMPLE_RATE:
            if held:
                yield _section(start, held)
            held, start, hole = bytearray(), block.start, 0
        held += bytes(2 * hole)
        held += block.pcm.data
        while len(held) > 2 * section_s * SAMPLE_RATE:
            section = _first_section(start, memoryview(held), section_s)
            yield section
            held, start = held[2 * len(section.pcm) :], section.end
    if held:
        yield _section(start, held)


def _section(start: int, held: bytearray | memoryview) -> Block:
    return Block(start, np.frombuffer(bytes(held), dtype=np.int16))


def _first_section(start: int, held: memoryview, section_s: float) -> Block:
    pcm = _section(start, held[: 2 * round(section_s * SAMPLE_RATE)]).pcm
    from_s = max(duration_s(pcm) - SECTION_END_S, duration_s(pcm) / 2)
    return Block(start, pcm[: round(_longest_pause_s(pcm, from_s) * SAMPLE_RATE)])


def _longest_pause_s(pcm: Pcm, from_s: float) -> float:
    """Return the middle of the longest pause after `from_s`; where all is speech, its quietest place."""
    to_s = duration_s(pcm)
    spans = speech_spans(pcm[round(from_s * SAMPLE_RATE) :])
    ends = [0.0, *(s.end_s for s in spans)]
    starts = [*(s.start_s for s in spans), to_s - from_s]
    pause_s, end_s = max((start - end, end) for end, start in zip(ends, starts, strict=True))
    return from_s + end_s + pause_s / 2 if pause_s > 0 else quietest_s(pcm, from_s, to_s)
