"""Texts at the limit of tokens, with a decoder that can write only so many."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from tests.small_model import SMALL_MODEL_INT8

from voxray.audio import SAMPLE_RATE, Pcm, duration_s
from voxray.transcript import Segment, Word
from voxray.whisper.continuation import MIN_PART_S, decode_whole, joined
from voxray.whisper.engines import DecodingResult
from voxray.whisper.tokens import Tokens


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens.load(SMALL_MODEL_INT8)


def speech(seconds: int) -> Pcm:
    """A clip whose samples count its seconds, from 1, each with a quiet end."""
    counted = np.repeat(np.arange(1, seconds + 1, dtype=np.int16), SAMPLE_RATE)
    counted.reshape(seconds, SAMPLE_RATE)[:, -2000:] = 0
    return counted


@dataclass
class Decoder:
    """Writes the seconds that it hears, `limit` at most; with `timed`, a segment for each two."""

    limit: int
    timed: bool = False
    asked: list[tuple[float, str | None]] = field(default_factory=list)

    def __call__(self, clips: Sequence[Pcm], languages: Sequence[str | None]) -> list[DecodingResult]:
        self.asked += [(round(duration_s(c), 1), lang) for c, lang in zip(clips, languages, strict=True)]
        return [self._decode(c, lang) for c, lang in zip(clips, languages, strict=True)]

    def _decode(self, clip: Pcm, language: str | None) -> DecodingResult:
        heard = [int(v) for v in np.unique(clip) if v]
        words = tuple(
            Word(str(v), *((np.flatnonzero(clip == v)[[0, -1]] + [0, 1]) / SAMPLE_RATE).tolist())
            for v in heard[: self.limit]
        )
        groups = [words[i : i + 2] for i in range(0, len(words), 2)] if self.timed else [words]
        return DecodingResult(
            text=" ".join(w.text for w in words),
            language=language or "de",
            tokens=tuple(int(w.text) for w in words),
            segments=tuple(
                Segment(g[0].start_s, g[-1].end_s, " ".join(w.text for w in g)) for g in groups if g
            ),
            words=words,
            avg_logprob=-0.5,
            no_speech_prob=0.1,
            compression_ratio=1.0,
            truncated=len(heard) > self.limit,
        )


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("limit", [28, 20, 14, 8])
def test_nothing_of_a_truncated_text_is_lost(limit: int, timed: bool, tokens: Tokens) -> None:
    decoder = Decoder(limit, timed)
    [result] = decode_whole(decoder, [speech(30)], [None], tokens)

    assert result.text.split() == [str(v) for v in range(1, 31)]
    assert " ".join(s.text for s in result.segments) == result.text
    assert [round(w.start_s) for w in result.words] == list(range(30))
    assert not result.truncated
    assert decoder.asked[0] == (30.0, None)
    assert {language for _, language in decoder.asked[1:]} == {"de"}


def test_a_timed_text_goes_on_after_its_last_whole_sentence(tokens: Tokens) -> None:
    decoder = Decoder(20, timed=True)
    decode_whole(decoder, [speech(30)], ["en"], tokens)

    assert [seconds for seconds, _ in decoder.asked] == [30.0, 17.9, 12.1]


def test_a_whole_text_is_decoded_once(tokens: Tokens) -> None:
    decoder = Decoder(30)
    results = decode_whole(decoder, [speech(30), speech(2)], ["en", "fr"], tokens)

    assert decoder.asked == [(30.0, "en"), (2.0, "fr")]
    assert [r.language for r in results] == ["en", "fr"]


def test_what_never_ends_stays_truncated(tokens: Tokens) -> None:
    decoder = Decoder(limit=1)
    results = decode_whole(decoder, [speech(30), speech(9)], ["en"] * 2, tokens)

    assert [r.truncated for r in results] == [True, True]
    assert min(seconds for seconds, _ in decoder.asked) >= 0.6 * MIN_PART_S
    assert len(decoder.asked) < 30


def test_scores_of_parts_are_those_of_both(tokens: Tokens) -> None:
    first = DecodingResult("a b", "en", (1, 2), (), (), -1.0, 0.7, 1.0)
    second = DecodingResult("c", "en", (tokens.timestamp(0.5), 3, 4, 5, 6), (), (), -0.5, 0.2, 1.0)
    both = joined(tokens, first, second, 10.0)

    assert both.avg_logprob == pytest.approx((3 * -1.0 + 6 * -0.5) / 9)
    assert both.no_speech_prob == 0.2
    assert both.tokens == (1, 2, tokens.timestamp(10.5), 3, 4, 5, 6)


def test_texts_without_spaces_are_joined_without_them(tokens: Tokens) -> None:
    parts = [DecodingResult(t, "zh", (), (), (), -1.0, None, 1.0) for t in ("今天", "天气")]

    assert joined(tokens, parts[0], parts[1], 5.0).text == "今天天气"
    assert joined(tokens, replace(parts[0], text="we"), replace(parts[1], text="go"), 5.0).text == "we go"
