"""The stages of labelling as plain callables, table in, tables out; pipeline.py strings them on Ray Data."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from voxray.audio import Pcm
from voxray.corpora.reading import read_items
from voxray.labelling import cutting
from voxray.labelling.pieces import Labels, Piece, items_of, label_table, piece_table, pieces_of
from voxray.labelling.teacher import EngineSource
from voxray.text import (
    ErrorCounts,
    by_character,
    character_errors,
    normaliser,
    text_language,
    word_errors,
)
from voxray.transcript import Task
from voxray.whisper.engines import DecodingOptions, DecodingResult, Engine
from voxray.whisper.labels import label_room, text_tokens
from voxray.whisper.tokens import Tokens

BLOCK_BYTES = 8_000_000  # of audio in one output table, 250 s: a long recording leaves in several


def read_stage(table: pa.Table, max_pause_s: float | None = None) -> Iterator[pa.Table]:
    """Decode items (ITEM_SCHEMA) and cut them into pieces (PIECE_SCHEMA), good or rejected."""
    items = items_of(table)
    waiting: list[Piece] = []
    for item, read in zip(items, read_items(items), strict=True):
        for piece in cutting.pieces(read, item, max_pause_s):
            waiting.append(piece)
            if sum(len(p.audio) for p in waiting) >= BLOCK_BYTES:
                yield piece_table(waiting)
                waiting = []
    if waiting:
        yield piece_table(waiting)


class LabelStage:
    """Labels pieces: PIECE_SCHEMA in, LABEL_SCHEMA out. The engine is loaded once, when the stage is made."""

    def __init__(self, source: EngineSource, options: DecodingOptions) -> None:
        self.engine = source.load()
        self.options = options

    def __call__(self, table: pa.Table) -> pa.Table:
        """Label a table of pieces; rejected ones pass through, and one that fails alone is rejected."""
        pieces = pieces_of(table)
        sound = [p for p in pieces if p.reason is None]
        results = dict(zip((p.id for p in sound), transcribe(self.engine, sound, self.options), strict=True))
        tokens, task = self.engine.tokens, self.options.task
        labelled = [_label(p, results.get(p.id), tokens, task) for p in pieces]
        return label_table([piece for piece, _ in labelled], [labels for _, labels in labelled])


def transcribe(
    engine: Engine, pieces: Sequence[Piece], options: DecodingOptions
) -> list[DecodingResult | Exception]:
    """Return the result for each piece, or the error that it ends in even alone.

    A batch that fails, for memory or for one bad clip in it, is halved until it passes.
    """
    if not pieces:
        return []
    clips: list[Pcm] = [p.pcm for p in pieces]
    try:
        return list(engine.transcribe(clips, options, [p.language for p in pieces]))
    except Exception as e:  # whatever a clip does to an engine, it must not end the job
        if len(pieces) == 1:
            return [e]
    half = len(pieces) // 2
    return [*transcribe(engine, pieces[:half], options), *transcribe(engine, pieces[half:], options)]


def _label(
    piece: Piece, result: DecodingResult | Exception | None, tokens: Tokens, task: Task
) -> tuple[Piece, Labels | None]:
    if result is None:
        return piece, None
    reason = _reason_against(result, tokens)
    if reason or isinstance(result, Exception):
        return replace(piece, reason=f"{piece.source}: expected {reason}.", audio=b""), None
    return replace(piece, language=result.language, task=task), labels_of(piece, result, task)


def _reason_against(result: DecodingResult | Exception, tokens: Tokens) -> str | None:
    """Say why `result` is no label; a text decoded in parts may be longer than the decoder of a student."""
    if isinstance(result, Exception):
        return f"words, got a failure of the engine ({type(result).__name__}: {result})"
    if result.truncated:
        return "a text that ends, got one past the limit of tokens, or a loop"
    count, room = text_tokens(tokens, result.text), label_room(tokens)
    return f"a text of at most {room} tokens, the decoder, got {count}" if count > room else None


def labels_of(piece: Piece, result: DecodingResult, task: Task = "transcribe") -> Labels:
    """Return the label columns of `piece`, scored against its reference where that is of the same task."""
    language = text_language(result.language, task)
    words = characters = None
    if piece.text is not None and piece.task in (None, task):
        normalise = normaliser(language)
        words = word_errors(piece.text, result.text, normalise)
        characters = character_errors(piece.text, result.text, normalise)
    return Labels(
        pseudo_text=result.text,
        segments=result.segments,
        words=result.words,
        wer=_rate(words),
        cer=_rate(characters),
        counts=characters if by_character(language) else words,
        avg_logprob=result.avg_logprob,
        no_speech_prob=result.no_speech_prob,
        compression_ratio=result.compression_ratio,
        chars_per_s=len(result.text) / piece.duration_s,
    )


def _rate(counts: ErrorCounts | None) -> float | None:
    """Return the rate; None where the reference is missing or empty: a rate over nothing is none."""
    return counts.rate if counts and counts.reference_length else None
