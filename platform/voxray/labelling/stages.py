"""The stages of labelling as plain callables, table in, tables out; pipeline.py strings them on Ray Data."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from voxray.audio import Pcm
from voxray.corpora.reading import read_items
from voxray.labelling import cutting
from voxray.labelling.pieces import Labels, Piece, items_of, label_table, piece_table, pieces_of
from voxray.labelling.teacher import EngineSource
from voxray.text import ErrorCounts, by_character, character_errors, normaliser, word_errors
from voxray.whisper.engines import DecodingOptions, DecodingResult, Engine

BLOCK_BYTES = 8_000_000  # of audio in one output table, 250 s: a long recording leaves in several


def read_stage(table: pa.Table, max_pause_s: float | None = None) -> Iterator[pa.Table]:
    """Items (ITEM_SCHEMA) decoded and cut into pieces (PIECE_SCHEMA); what cannot be is a rejected piece."""
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
    """Pieces (PIECE_SCHEMA) in, pieces with labels (LABEL_SCHEMA) out. The engine is loaded once, here."""

    def __init__(self, source: EngineSource, options: DecodingOptions) -> None:
        self.engine = source.load()
        self.options = options

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rejected pieces pass through; one that fails alone becomes one."""
        pieces = pieces_of(table)
        sound = [p for p in pieces if p.reason is None]
        heard = dict(zip((p.id for p in sound), hear(self.engine, sound, self.options), strict=True))
        labelled = [_label(p, heard.get(p.id), self.options) for p in pieces]
        return label_table([piece for piece, _ in labelled], [labels for _, labels in labelled])


def hear(
    engine: Engine, pieces: Sequence[Piece], options: DecodingOptions
) -> list[DecodingResult | Exception]:
    """What `engine` hears in each piece, or the error that it ends in even alone.

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
    return [*hear(engine, pieces[:half], options), *hear(engine, pieces[half:], options)]


def _label(
    piece: Piece, heard: DecodingResult | Exception | None, options: DecodingOptions
) -> tuple[Piece, Labels | None]:
    if heard is None:
        return piece, None
    if isinstance(heard, Exception):
        reason = f"{piece.source}: expected words, but the engine failed ({type(heard).__name__}: {heard})."
        return replace(piece, reason=reason, audio=b""), None
    return replace(piece, language=heard.language, task=options.task), labels_of(piece, heard)


def labels_of(piece: Piece, heard: DecodingResult) -> Labels:
    """The label columns of `piece`, scored against its reference by its language's normaliser."""
    normalise = normaliser(heard.language)
    words = characters = None
    if piece.text is not None:
        words = word_errors(piece.text, heard.text, normalise)
        characters = character_errors(piece.text, heard.text, normalise)
    return Labels(
        pseudo_text=heard.text,
        segments=heard.segments,
        words=heard.words,
        wer=_rate(words),
        cer=_rate(characters),
        counts=characters if by_character(heard.language) else words,
        avg_logprob=heard.avg_logprob,
        no_speech_prob=heard.no_speech_prob,
        compression_ratio=heard.compression_ratio,
        chars_per_s=len(heard.text) / piece.duration_s,
    )


def _rate(counts: ErrorCounts | None) -> float | None:
    """Null where the reference is missing or empty: a rate over nothing is none."""
    return counts.rate if counts and counts.reference_length else None
