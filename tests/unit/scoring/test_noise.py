"""Noise: at the ratio that is asked for, the same each time, and never the clip's own voice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.audio import SAMPLE_RATE, Pcm
from voxray.corpora.store import Clip
from voxray.scoring.noise import Floats, in_noise, level, mix, noises, unit_level

TONES = [(4000 * np.sin(np.arange(SAMPLE_RATE) / k)).astype(np.int16) for k in (3, 5, 7)]
CLIPS = [Clip(f"clip-{k}", pcm, "one") for k, pcm in enumerate(TONES)]


@given(st.integers(-10, 40), st.floats(100.0, 30_000.0), st.integers(0, 9))
def test_noise_is_mixed_at_the_ratio_that_is_asked_for(snr_db: int, loud: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    speech: Pcm = np.clip(rng.laplace(0.0, loud / 4, 4000), -32000, 32000).astype(np.int16)
    noise = unit_level(rng.standard_normal(4000))
    mixed = mix(speech, noise, snr_db).astype(np.float64)
    # What least squares find of either in the sum: it may have been made softer as a whole.
    (of_speech, of_noise), *_ = np.linalg.lstsq(
        np.stack([speech.astype(np.float64), noise], axis=1), mixed, rcond=None
    )
    signal, rest = of_speech * level(speech.astype(np.float64)), of_noise
    step_of_rounding = 1.0
    expected = signal * 10 ** (-snr_db / 20)
    assert rest == pytest.approx(expected, rel=0.05, abs=step_of_rounding)
    assert of_speech <= 1.01


def test_a_sum_that_would_clip_is_made_softer_as_a_whole() -> None:
    square: Pcm = np.tile(np.array([30_000, -30_000], dtype=np.int16), 500)
    mixed = mix(square, unit_level(np.ones(1000)), 0.0)
    assert np.max(np.abs(mixed.astype(int))) == 32767
    assert len(np.unique(mixed)) == 2  # nothing was cut off: two levels stay two


def test_silence_gets_no_noise() -> None:
    assert not mix(np.zeros(100, np.int16), unit_level(np.ones(100)), 0.0).any()


def test_all_is_a_function_of_the_seed() -> None:
    first, again, other = (noises(CLIPS, CLIPS, TONES[0], seed=seed) for seed in (1, 1, 2))
    assert list(first) == ["white", "babble", "music"]
    for kind in first:
        for k in range(len(CLIPS)):
            assert np.array_equal(first[kind][k], again[kind][k])
            assert level(first[kind][k]) == pytest.approx(1.0)
        assert not np.array_equal(first[kind][0], other[kind][0])


def test_the_noise_of_a_clip_is_the_same_at_every_ratio() -> None:
    def rest(snr_db: float) -> Floats:
        noise = noises(CLIPS, CLIPS)["white"]
        quiet = next(iter(in_noise(CLIPS, noise, snr_db)))
        return unit_level(quiet.pcm.astype(np.float64) - CLIPS[0].pcm)

    assert np.dot(rest(20.0), rest(10.0)) / SAMPLE_RATE == pytest.approx(1.0, abs=0.01)


def test_nobody_babbles_over_himself_or_alone() -> None:
    own = unit_level(TONES[0].astype(np.float64))
    found = noises(CLIPS, CLIPS)["babble"]
    assert abs(np.dot(found[0], own)) / SAMPLE_RATE < 0.1
    assert list(noises(CLIPS[:1], CLIPS[:1])) == ["white"]
