"""From a decoded item to pieces of at most 30 s."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from voxray.audio import SAMPLE_RATE, WINDOW_S, WINDOW_SAMPLES, Pcm
from voxray.corpora.items import END_TOLERANCE_S, Item, Rejected
from voxray.corpora.reading import DecodedItem
from voxray.labelling.pieces import Piece
from voxray.speech import Span, cut_at_pauses, join_spans
from voxray.transcript import Segment
from voxray.writing_systems import join_texts


def pieces(read: DecodedItem | Rejected, item: Item, max_pause_s: float | None) -> list[Piece]:
    """Return at least one piece of `item`; what cannot be labelled is one with its reason.

    An item over 30 s is cut between its sentences where it has them, else, without a reference, at pauses
    (`speech.cut_at_pauses`); one text for more than 30 s cannot be divided, and is rejected.
    """
    if isinstance(read, Rejected):
        return [rejected(item, read.reason)]
    if len(read.pcm) <= WINDOW_SAMPLES:
        return [_piece(item, read.pcm, Span(0.0, len(read.pcm) / SAMPLE_RATE), item.text)]
    if item.no_speech:
        return _cut(item, read.pcm, _windows(read.pcm), "")
    if item.sentences:
        return _cut_at_sentences(item, read.pcm, item.sentences)
    if item.text is not None:
        return [
            rejected(
                item,
                f"{item.source}: expected at most {WINDOW_S:g} s for one text; add its sentences' times.",
            )
        ]
    spans = cut_at_pauses(read.pcm, WINDOW_S, max_pause_s=max_pause_s)
    return _cut(item, read.pcm, spans, None) or [rejected(item, f"{item.source}: expected speech, got none.")]


def rejected(item: Item, reason: str) -> Piece:
    """Return the one piece of an item that is rejected."""
    return Piece(
        item=item.id,
        parts=1,
        source=item.source,
        id=item.id,
        audio=b"",
        split=item.split,
        recording=item.recording,
        reason=reason,
    )


def _cut(item: Item, pcm: Pcm, spans: Sequence[Span], text: str | None) -> list[Piece]:
    return _numbered([_piece(item, pcm, span, text) for span in spans])


def _cut_at_sentences(item: Item, pcm: Pcm, sentences: Sequence[Segment]) -> list[Piece]:
    too_long = [s for s in sentences if s.end_s - s.start_s > WINDOW_S]
    if too_long or any(a.end_s > b.start_s for a, b in pairwise(sentences)):
        problem = "a longer one" if too_long else "some that overlap"
        reason = f"{item.source}: expected sentences in order, each at most {WINDOW_S:g} s, got {problem}."
        return [rejected(item, reason)]
    if sentences[-1].end_s > len(pcm) / SAMPLE_RATE + END_TOLERANCE_S:
        reason = f"{item.source}: expected audio up to {sentences[-1].end_s:g} s, got audio that ends before."
        return [rejected(item, reason)]
    windows = join_spans([Span(s.start_s, s.end_s) for s in sentences], WINDOW_S)
    return _numbered([_piece(item, pcm, w, _text_within(w, sentences)) for w in windows])


def _text_within(window: Span, sentences: Sequence[Segment]) -> str:
    return join_texts(s.text for s in sentences if window.start_s <= s.start_s and s.end_s <= window.end_s)


def _windows(pcm: Pcm) -> list[Span]:
    ends = [*range(WINDOW_SAMPLES, len(pcm), WINDOW_SAMPLES), len(pcm)]
    return [Span((end - 1) // WINDOW_SAMPLES * WINDOW_S, end / SAMPLE_RATE) for end in ends]


def _piece(item: Item, pcm: Pcm, span: Span, text: str | None) -> Piece:
    first = round(span.start_s * SAMPLE_RATE)
    samples = pcm[first : min(round(span.end_s * SAMPLE_RATE), first + WINDOW_SAMPLES)]
    offset_s = item.start_s or 0.0
    return Piece(
        item=item.id,
        parts=1,
        source=item.source,
        id=item.id,
        audio=samples.astype("<i2").tobytes(),
        split=item.split,
        recording=item.recording,
        text=text,
        language=item.language,
        task=item.task,
        speaker=item.speaker,
        start_s=offset_s + span.start_s,
        end_s=offset_s + span.end_s,
        no_speech=item.no_speech,
        reason=None if len(samples) else f"{item.source}: expected audio, got a clip without samples.",
    )


def _numbered(cut: Sequence[Piece]) -> list[Piece]:
    return [replace(p, id=f"{p.item}#{k:04d}", parts=len(cut)) for k, p in enumerate(cut)]
