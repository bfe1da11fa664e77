"""Labels for the decoder, built from texts and times when a batch is collated.

    [<|startofprev|> previous...]
    <|startoftranscript|> <|lang|> <|task|> [<|notimestamps|>] text... <|endoftext|>

Decoder input is ids[:-1] and the target ids[1:]; targets are IGNORED up to and including
`<|startoftranscript|>` when there is a previous text (openai/whisper, decoding.py; Distil-Whisper, 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from voxray.transcript import Segment
from voxray.whisper.tokens import MAX_LABEL_TOKENS, MAX_PREVIOUS_TOKENS, Tokens
from voxray.writing_systems import join_texts

IGNORED = -100  # torch's ignore_index


@dataclass(frozen=True, slots=True)
class Label:
    """Decoder input and targets of one clip, both of the same length."""

    inputs: tuple[int, ...]
    targets: tuple[int, ...]


def label(
    tokens: Tokens,
    segments: Sequence[Segment],
    *,
    language: str | None = "en",
    task: str = "transcribe",
    timestamps: bool = False,
    previous: str = "",
) -> Label | None:
    """Return the label of `segments`, or None where it does not fit into Whisper's 448 positions."""
    head = tokens.prompt(language, task, timestamps)
    body = _timed(tokens, segments) if timestamps else _plain(tokens, segments)
    ids = [*head, *body, tokens.end]
    return _with_previous(tokens, ids, previous) if len(ids) <= MAX_LABEL_TOKENS else None


def label_room(tokens: Tokens) -> int:
    """Return how many tokens of text fit into a label without times, beside its prompt and its end."""
    return MAX_LABEL_TOKENS - len(tokens.prompt()) - 1


def text_tokens(tokens: Tokens, text: str) -> int:
    """Return how many tokens `text` has in a label; one over `label_room` has no label."""
    return len(_plain(tokens, [Segment(0.0, 0.0, text)]))


def no_speech_label(
    tokens: Tokens, *, named: bool, language: str | None = "en", task: str = "transcribe"
) -> Label:
    """Return the label of a clip without words.

    `named`: `<|startoftranscript|> <|nospeech|>`; else a full prompt that ends at once, which is what live
    decoding, whose prompt is forced, must learn.
    """
    head = [tokens.start, tokens.no_speech] if named else tokens.prompt(language, task)
    return _pair([*head, tokens.end])


def _plain(tokens: Tokens, segments: Sequence[Segment]) -> list[int]:
    text = join_texts(s.text.strip() for s in segments)
    return tokens.encode(f" {text}") if text else []


def _timed(tokens: Tokens, segments: Sequence[Segment]) -> list[int]:
    ids: list[int] = []
    for s in (s for s in segments if s.text.strip()):
        text = tokens.encode(f" {s.text.strip()}")
        ids += [tokens.timestamp(s.start_s), *text, tokens.timestamp(s.end_s)]
    return ids


def _with_previous(tokens: Tokens, ids: list[int], previous: str) -> Label:
    room = min(MAX_PREVIOUS_TOKENS, MAX_LABEL_TOKENS - len(ids) - 1)
    history = tokens.encode(f" {previous.strip()}")[-room:] if previous.strip() and room > 0 else []
    if not history:
        return _pair(ids)
    whole = _pair([tokens.previous, *history, *ids])
    masked = len(history) + 1  # targets up to and including <|startoftranscript|>
    return Label(whole.inputs, (IGNORED,) * masked + whole.targets[masked:])


def _pair(ids: list[int]) -> Label:
    return Label(tuple(ids[:-1]), tuple(ids[1:]))
