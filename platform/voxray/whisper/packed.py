"""Short clips decoded together: packed into windows of 30 s with pauses between, their words split again.

To a model that takes windows of 30 s alone, a clip of one second is as much work as thirty of them. A clip
whose words are doubtful is decoded by itself.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from voxray.audio import SAMPLE_RATE, WINDOW_SAMPLES, Pcm, duration_s
from voxray.text import MAX_COMPRESSION_RATIO, compression_ratio
from voxray.transcript import Segment, Word, shifted
from voxray.whisper.continuation import Decode
from voxray.whisper.engines import DecodingResult
from voxray.whisper.tokens import Tokens
from voxray.whisper.words import without_pauses, word_tokens

PAUSE_S = 0.6  # between two clips
MAX_CLIP_S = 20.0  # a longer one is decoded by itself
EDGE_S = 0.15  # how far a word may reach into the pauses around its clip
MIN_PROBABILITY = 0.5  # of a clip's words, in the mean


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """A window made of clips: their indices, and where each begins in it."""

    clips: tuple[int, ...]
    starts_s: tuple[float, ...]
    pcm: Pcm


def transcribe_packed(
    decode: Decode, clips: Sequence[Pcm], languages: Sequence[str | None], tokens: Tokens
) -> list[DecodingResult]:
    """Return what `decode` gives for `clips` and their `languages`, with those of one language packed.

    `decode` must give words and the probabilities of their tokens. Clips of unknown language are not packed:
    each may be in another one. Results of packed clips have no `no_speech_prob`, which is their window's.
    """
    packs = packed(clips, languages)
    windows = decode([p.pcm for p in packs], [languages[p.clips[0]] for p in packs])
    found = {
        i: result
        for pack, window in zip(packs, windows, strict=True)
        for i, result in split(pack, window, clips, tokens)
    }
    alone = [i for i in range(len(clips)) if i not in found]
    if alone:
        results = decode([clips[i] for i in alone], [languages[i] for i in alone])
        found.update(zip(alone, results, strict=True))
    return [found[i] for i in range(len(clips))]


def packed(clips: Sequence[Pcm], languages: Sequence[str | None]) -> list[Pack]:
    """Return packs of two or more clips that are short and have a known language in common, in order."""
    pause = round(PAUSE_S * SAMPLE_RATE)
    waiting: dict[str, list[int]] = defaultdict(list)
    full: list[list[int]] = []
    for i, (clip, language) in enumerate(zip(clips, languages, strict=True)):
        if language is None or not 0 < duration_s(clip) <= MAX_CLIP_S:
            continue
        if sum(len(clips[k]) + pause for k in waiting[language]) + len(clip) > WINDOW_SAMPLES:
            full.append(waiting.pop(language))
        waiting[language].append(i)
    groups = (group for group in [*full, *waiting.values()] if len(group) > 1)
    return [_pack(group, clips, pause) for group in groups]


def _pack(indices: Sequence[int], clips: Sequence[Pcm], pause: int) -> Pack:
    silence = np.zeros(pause, dtype=np.int16)
    pcm = np.concatenate([part for i in indices for part in (clips[i], silence)])[:WINDOW_SAMPLES]
    ends = np.cumsum([len(clips[i]) + pause for i in indices])
    starts_s = ((ends - [len(clips[i]) + pause for i in indices]) / SAMPLE_RATE).tolist()
    return Pack(tuple(indices), tuple(starts_s), pcm)


def split(
    pack: Pack, window: DecodingResult, clips: Sequence[Pcm], tokens: Tokens
) -> Iterator[tuple[int, DecodingResult]]:
    """Yield the clips of `pack` whose words are not doubtful, and their results.

    Doubtful are clips without words and those after them, those with improbable or repeated words, and those
    between which a word lies.
    """
    if window.truncated:
        return
    ids = [i for i in window.tokens if i < tokens.end]
    spans = [span for span in word_tokens(tokens, ids) if span[0].strip()]
    homes = [_home(word, pack, clips) for word in window.words]
    owned = [[n for n, near in enumerate(homes) if k in near] for k in range(len(pack.clips))]
    for k, i in enumerate(pack.clips):
        own = owned[k]
        after_none = k > 0 and not owned[k - 1]  # whose words may be here: onsets are late
        if not own or after_none or any(len(homes[n]) > 1 for n in own):
            continue
        first, end = spans[own[0]][1], max(spans[own[-1]][2], spans[own[-1]][1] + 1)
        placed = [_placed(window.words[n], pack.starts_s[k], duration_s(clips[i])) for n in own]
        words = without_pauses(placed, clips[i])
        result = _result(window, words, tokens.decode(ids[first:end]).strip(), tuple(ids[first:end]), first)
        if not _doubtful(result):
            yield i, result


def _home(word: Word, pack: Pack, clips: Sequence[Pcm]) -> list[int]:
    """Return the places in `pack` of the clips that `word` may belong to: one, where it is not doubtful."""
    bounds = [
        (at - EDGE_S, at + duration_s(clips[i]) + EDGE_S)
        for i, at in zip(pack.clips, pack.starts_s, strict=True)
    ]
    inside = [k for k, (start_s, end_s) in enumerate(bounds) if word.start_s < end_s and word.end_s > start_s]
    if len(inside) == 1 and bounds[inside[0]][0] <= word.start_s and word.end_s <= bounds[inside[0]][1]:
        return inside
    before = max((k for k, (start_s, _) in enumerate(bounds) if start_s <= word.start_s), default=0)
    return sorted({*inside, before, min(before + 1, len(bounds) - 1)})


def _placed(word: Word, start_s: float, lasts_s: float) -> Word:
    moved = shifted(word, -start_s)
    return replace(
        moved, start_s=min(max(moved.start_s, 0.0), lasts_s), end_s=min(max(moved.end_s, 0.0), lasts_s)
    )


def _result(
    window: DecodingResult, words: tuple[Word, ...], text: str, ids: tuple[int, ...], first: int
) -> DecodingResult:
    probs = window.token_probs[first : first + len(ids)]
    return DecodingResult(
        text=text,
        language=window.language,
        tokens=ids,
        segments=(Segment(words[0].start_s, words[-1].end_s, text),),
        words=words,
        avg_logprob=sum(math.log(max(p, 1e-9)) for p in probs) / max(1, len(probs)),
        no_speech_prob=None,
        compression_ratio=compression_ratio(text),
        token_probs=probs,
    )


def _doubtful(result: DecodingResult) -> bool:
    probabilities = [w.probability or 0.0 for w in result.words]
    improbable = sum(probabilities) / len(probabilities) < MIN_PROBABILITY
    return improbable or result.compression_ratio > MAX_COMPRESSION_RATIO
