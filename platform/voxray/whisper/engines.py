"""What every engine shares: options, results, and the protocol that `ctranslate.py` and
`transformers_engine.py` implement.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from voxray.audio import WINDOW_S, Pcm, duration_s
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
    prompt: str = ""  # text that comes before each clip, in its style
    hotwords: str = ""  # words that are likely
    beams: int = 1
    batch_s: float = 120.0  # seconds of audio, padding included, in one batch
    max_new_tokens: int = 224
    pack: bool = False  # short clips of one language share windows, where the model has none but of 30 s


@dataclass(frozen=True, slots=True)
class DecodingResult:
    """What an engine decoded from one clip; times in seconds from the clip's start.

    `avg_logprob` is the mean log-probability per token, `no_speech_prob` that of `<|nospeech|>` right after
    the start token (None where the engine does not give it). `token_probs` are those of the text's tokens,
    where words were asked for and the engine gives them. `truncated`: words are missing at the end of the
    text, or of a part of it.
    """

    text: str
    language: str
    tokens: tuple[int, ...]
    segments: tuple[Segment, ...]
    words: tuple[Word, ...]
    avg_logprob: float
    no_speech_prob: float | None
    compression_ratio: float
    token_probs: tuple[float, ...] = ()
    truncated: bool = False


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
    token_probs: tuple[float, ...] = (),
    truncated: bool = False,
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
        token_probs=token_probs,
        truncated=truncated,
    )


def split_segments(tokens: Tokens, ids: Sequence[int], duration_s: float) -> tuple[Segment, ...]:
    """Split decoded ids at their timestamp tokens; without any, return one segment over the whole clip.

    Times are within the clip and in order, whatever the timestamps say.
    """
    segments: list[Segment] = []
    lasts_s = round(duration_s, 2)
    start_s, text = 0.0, list[int]()
    for token in [*ids, tokens.timestamp(WINDOW_S)]:
        if not tokens.is_timestamp(token):
            text.append(token)
            continue
        at_s = min(max(tokens.seconds(token), start_s), lasts_s)
        if text:
            segments.append(Segment(start_s, at_s, tokens.decode(text).strip()))
            text = []
        start_s = at_s
    return tuple(s for s in segments if s.text)
