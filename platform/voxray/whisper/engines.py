"""What every engine shares: options, results, and the protocol that `ctranslate.py` and
`transformers_engine.py` implement.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from voxray.audio import Pcm, duration_s
from voxray.config import Config
from voxray.languages import Language
from voxray.text import compression_ratio
from voxray.transcript import Segment, Task, Word
from voxray.whisper.tokens import Tokens


class DecodingOptions(Config):
    """How an engine decodes. The defaults are batched greedy decoding without timestamps."""

    language: Language = None  # None: the clip's own, else detected
    task: Task = "transcribe"
    timestamps: bool = False
    words: bool = False  # word times, by alignment
    beams: int = 1
    batch_s: float = 120.0  # seconds of audio, padding included, in one batch
    max_new_tokens: int = 224


@dataclass(frozen=True, slots=True)
class DecodingResult:
    """What an engine decoded from one clip; times in seconds from the clip's start.

    `avg_logprob` is the mean log-probability per token, `no_speech_prob` that of `<|nospeech|>` right after
    the start token (None where the engine does not give it).
    """

    text: str
    language: str
    tokens: tuple[int, ...]
    segments: tuple[Segment, ...]
    words: tuple[Word, ...]
    avg_logprob: float
    no_speech_prob: float | None
    compression_ratio: float


class Engine(Protocol):
    """A loaded model."""

    tokens: Tokens

    def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None] = ()
    ) -> list[DecodingResult]:
        """Return one result per clip, in order; clips are at most 30 s.

        `languages` are the clips' own, used where `options.language` is None.
        """
        ...


def decoding_result(
    tokens: Tokens,
    ids: Sequence[int],
    clip: Pcm,
    language: str,
    *,
    avg_logprob: float,
    no_speech_prob: float | None,
    words: tuple[Word, ...] = (),
) -> DecodingResult:
    """Return the result of `ids`, decoded from `clip`; they hold neither prompt nor end of text."""
    text = tokens.decode(ids).strip()
    return DecodingResult(
        text=text,
        language=language,
        tokens=tuple(ids),
        segments=split_segments(tokens, ids, duration_s(clip)),
        words=tuple(replace(w, text=w.text.strip()) for w in words if w.text.strip()),
        avg_logprob=avg_logprob,
        no_speech_prob=no_speech_prob,
        compression_ratio=compression_ratio(text),
    )


def split_segments(tokens: Tokens, ids: Sequence[int], duration_s: float) -> tuple[Segment, ...]:
    """Split decoded ids at their timestamp tokens; without any, return one segment over the whole clip."""
    segments: list[Segment] = []
    start_s, text = 0.0, list[int]()
    for token in ids:
        if not tokens.is_timestamp(token):
            text.append(token)
            continue
        if text:
            segments.append(Segment(start_s, tokens.seconds(token), tokens.decode(text).strip()))
            text = []
        start_s = tokens.seconds(token)
    if text:
        segments.append(Segment(start_s, round(duration_s, 2), tokens.decode(text).strip()))
    return tuple(s for s in segments if s.text)
