"""Short clips that share windows, with a decoder that reads its words off the samples."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL_INT8

from voxray.audio import SAMPLE_RATE, WINDOW_S, Pcm, duration_s
from voxray.text import compression_ratio
from voxray.transcript import Word
from voxray.whisper.engines import DecodingResult, decoding_result
from voxray.whisper.packed import MAX_CLIP_S, PAUSE_S, packed, transcribe_packed
from voxray.whisper.tokens import Tokens

TEXTS = ("turn on the light", "seven", "play", "good morning", "what is six plus two", "stop")


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens.load(SMALL_MODEL_INT8)


def clip(number: int, seconds: float = 1.0) -> Pcm:
    """A clip whose samples name its text."""
    return np.full(round(seconds * SAMPLE_RATE), number + 1, dtype=np.int16)


def stretches(pcm: Pcm) -> list[tuple[int, float, float]]:
    """The numbers of the clips in `pcm`, and where each begins and ends in seconds."""
    found, at = [], 0
    for value, group in groupby(pcm.tolist()):
        length = len(list(group))
        if value:
            found.append((value - 1, at / SAMPLE_RATE, (at + length) / SAMPLE_RATE))
        at += length
    return found


@dataclass
class Decoder:
    """Gives the words of the clips in a window, spread over them, as far as they are not spoilt.

    `silent`, `improbable` and `stretched` name clips that have no words, improbable words, or words that last
    into the next clip, when they are packed; `truncated`: every packed window is.
    """

    tokens: Tokens
    texts: Sequence[str] = TEXTS
    silent: frozenset[int] = frozenset()
    improbable: frozenset[int] = frozenset()
    stretched: frozenset[int] = frozenset()
    truncated: bool = False
    windows: list[list[int]] = field(default_factory=list)

    def __call__(self, pcms: Sequence[Pcm], languages: Sequence[str | None]) -> list[DecodingResult]:
        return [self._decode(pcm, language or "en") for pcm, language in zip(pcms, languages, strict=True)]

    def _decode(self, pcm: Pcm, language: str) -> DecodingResult:
        parts = stretches(pcm)
        self.windows.append([number for number, _, _ in parts])
        alone = len(parts) == 1
        words = [w for part in parts if alone or part[0] not in self.silent for w in self._words(part, alone)]
        ids = self.tokens.encode("".join(w.text for w in words))
        return decoding_result(
            self.tokens,
            ids,
            pcm,
            language,
            avg_logprob=-0.1,
            no_speech_prob=0.01,
            words=tuple(words),
            token_probs=(0.5,) * len(ids),
            truncated=self.truncated and not alone,
        )

    def _words(self, part: tuple[int, float, float], alone: bool) -> list[Word]:
        number, start_s, end_s = part
        texts = self.texts[number].split()
        each_s = (end_s - start_s) / len(texts)
        probability = 0.2 if number in self.improbable and not alone else 0.9
        words = [
            Word(f" {t}", start_s + i * each_s, start_s + (i + 1) * each_s, probability)
            for i, t in enumerate(texts)
        ]
        if number in self.stretched and not alone:
            words[-1] = replace(words[-1], end_s=end_s + PAUSE_S + 0.3)
        return words


def test_words_return_to_their_clips(tokens: Tokens) -> None:
    clips = [clip(i, 0.5 + 0.15 * i) for i in range(len(TEXTS))]  # none so long that a word of it is too long
    decoder = Decoder(tokens)
    results = transcribe_packed(decoder, clips, ["en"] * len(clips), tokens)

    assert decoder.windows == [list(range(len(TEXTS)))]
    for pcm, text, result in zip(clips, TEXTS, results, strict=True):
        assert result.text == text == " ".join(w.text for w in result.words)
        assert tokens.decode(result.tokens).strip() == text
        assert result.words[0].start_s == pytest.approx(0, abs=0.01)
        assert result.words[-1].end_s == pytest.approx(duration_s(pcm), abs=0.01)
        assert [(s.start_s, s.end_s, s.text) for s in result.segments] == [
            (result.words[0].start_s, result.words[-1].end_s, text)
        ]
        assert result.avg_logprob == pytest.approx(np.log(0.5))
        assert result.no_speech_prob is None
        assert result.compression_ratio == compression_ratio(text)


@pytest.mark.parametrize(
    ("spoilt", "alone"),
    [
        ({"silent": frozenset({2})}, [[2], [3]]),
        ({"improbable": frozenset({0, 4})}, [[0], [4]]),
        ({"stretched": frozenset({1})}, [[1], [2]]),
        ({"truncated": True}, [[i] for i in range(len(TEXTS))]),
        ({"texts": ["so", *TEXTS[1:5], "no " * 40]}, [[5]]),
    ],
)
def test_a_doubtful_clip_is_decoded_by_itself(
    spoilt: dict[str, frozenset[int]], alone: list[list[int]], tokens: Tokens
) -> None:
    clips = [clip(i) for i in range(len(TEXTS))]
    decoder = replace(Decoder(tokens), **spoilt, windows=[])  # type: ignore[arg-type]  # fields by name
    results = transcribe_packed(decoder, clips, ["en"] * len(clips), tokens)

    assert decoder.windows[1:] == alone
    assert [r.text for r in results] == [t.strip() for t in decoder.texts]


def test_only_clips_of_one_known_language_share_a_window(tokens: Tokens) -> None:
    clips = [clip(i) for i in range(6)]
    decoder = Decoder(tokens)
    results = transcribe_packed(decoder, clips, ["en", "de", None, "en", "de", "fr"], tokens)

    assert decoder.windows == [[0, 3], [1, 4], [2], [5]]
    assert [r.text for r in results] == list(TEXTS)


def test_long_clips_and_empty_ones_are_not_packed(tokens: Tokens) -> None:
    clips = [clip(0), clip(1, MAX_CLIP_S + 0.1), clip(2), np.zeros(0, np.int16)]

    assert [p.clips for p in packed(clips, ["en"] * 4)] == [(0, 2)]
    assert packed([clip(0), clip(1, MAX_CLIP_S + 1)], ["en"] * 2) == []
    assert packed([clip(0, 16.0), clip(1, 16.0)], ["en"] * 2) == []
    assert transcribe_packed(Decoder(tokens), [], [], tokens) == []


@given(st.lists(st.tuples(st.floats(0, 22), st.sampled_from(["en", "de", None])), max_size=25))
def test_every_short_clip_lies_whole_in_at_most_one_window(
    made: list[tuple[float, str | None]],
) -> None:
    clips = [clip(i % 6, seconds) for i, (seconds, _) in enumerate(made)]
    packs = packed(clips, [language for _, language in made])

    inside = [i for p in packs for i in p.clips]
    assert len(inside) == len(set(inside))
    for p in packs:
        assert len(p.clips) > 1
        assert duration_s(p.pcm) <= WINDOW_S
        for i, start_s in zip(p.clips, p.starts_s, strict=True):
            at = round(start_s * SAMPLE_RATE)
            assert np.array_equal(p.pcm[at : at + len(clips[i])], clips[i])
