"""A telephone line: what it takes away, and what it leaves."""

import numpy as np
import pytest

from voxray.audio import SAMPLE_RATE, Pcm
from voxray.scoring.telephone import LINE_CODECS, LineCodec, available_codecs, over_line

AVAILABLE = available_codecs()


def tone(hertz: float, seconds: float = 1.0) -> Pcm:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(
        np.int16
    )


def level_of(pcm: Pcm) -> float:
    return float(np.sqrt(np.mean(pcm[2000:-2000].astype(float) ** 2)))


def test_mu_law_is_always_there_and_what_is_offered_can_be_encoded() -> None:
    assert "mu-law" in AVAILABLE
    assert AVAILABLE.items() <= LINE_CODECS.items()


@pytest.mark.parametrize("codec", AVAILABLE.values(), ids=list(AVAILABLE))
def test_a_line_passes_speech_and_nothing_above_4_khz(codec: LineCodec) -> None:
    low, high = (over_line(tone(hertz), codec) for hertz in (1000, 6000))
    assert len(low) == len(high) == SAMPLE_RATE
    assert level_of(low) == pytest.approx(level_of(tone(1000)), rel=0.4)
    assert level_of(high) < 0.02 * level_of(tone(6000))


@pytest.mark.parametrize("codec", AVAILABLE.values(), ids=list(AVAILABLE))
@pytest.mark.parametrize("samples", [1, 161, 12_345])
def test_a_clip_keeps_its_length(codec: LineCodec, samples: int) -> None:
    assert len(over_line(tone(500, 1.0)[:samples], codec)) == samples
