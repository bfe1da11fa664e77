"""The times of the words of references, which a model aligns with their audio."""

from collections.abc import Sequence

from voxray.audio import HOP_LENGTH
from voxray.corpora.store import Clip
from voxray.transcript import Word
from voxray.whisper.ctranslate import CTranslate2Engine, window_s
from voxray.whisper.prompts import plain_tokens, text_room
from voxray.whisper.words import word_times


def reference_words(engine: CTranslate2Engine, clips: Sequence[Clip]) -> list[tuple[Word, ...]]:
    """Return the words of each clip's text with their times; `clips` are at most 30 s."""
    return [aligned_words(engine, clip) for clip in clips]


def aligned_words(engine: CTranslate2Engine, clip: Clip) -> tuple[Word, ...]:
    """Return the words of a clip's text with their times in it, by cross-attention.

    A text that the decoder has no room for is aligned as far as it goes.
    """
    tokens = engine.tokens
    text = plain_tokens(tokens, f" {clip.text.strip()}")[: text_room(tokens, 0)]
    states = engine.encode([clip.pcm], window_s(clip.duration_s, engine.min_window_s))
    start = tokens.prompt(clip.language, clip.task, timestamps=True)
    frames = max(1, len(clip.pcm) // HOP_LENGTH)
    (found,) = engine.model.align(states, start, [text], [frames])
    return word_times(tokens, text, found, clip.pcm)
