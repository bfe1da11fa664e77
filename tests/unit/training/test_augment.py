from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from voxray.audio import SAMPLE_RATE, to_float, to_pcm
from voxray.corpora.store import Clip
from voxray.training.augment import (
    AugmentOptions,
    Floats,
    augment,
    coloured_noise,
    in_noise,
    in_room,
    spec_augment,
    speed_perturb,
    through_telephone,
)
from voxray.transcript import Segment, Word


def tone(hz: float, seconds: float = 1.0) -> Floats:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(
        np.float32
    )


def pitch_hz(samples: Floats) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * SAMPLE_RATE / len(samples))


def level_db(samples: Floats) -> float:
    return float(10 * np.log10(np.mean(np.square(samples))))


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_speed_changes_length_pitch_and_times_alike(factor: float) -> None:
    word, segment = Word("a", 0.2, 0.6), Segment(0.1, 0.7, "a")
    clip = Clip("c", to_pcm(tone(400)), "a", "anna", "de", (word,), (segment,), "b", "translate")
    made = speed_perturb(clip, factor)
    assert len(made.pcm) == pytest.approx(SAMPLE_RATE / factor, abs=2)
    assert pitch_hz(to_float(made.pcm)) == pytest.approx(400 * factor, abs=2)
    assert (made.words[0].start_s, made.words[0].end_s) == pytest.approx((0.2 / factor, 0.6 / factor))
    assert (made.segments[0].start_s, made.segments[0].end_s) == pytest.approx((0.1 / factor, 0.7 / factor))
    assert made == replace(clip, pcm=made.pcm, words=made.words, segments=made.segments)


def test_the_defaults_change_nothing() -> None:
    assert np.array_equal(augment(tone(400), AugmentOptions(), np.random.default_rng(0)), tone(400))


@given(st.integers(0, 50))
def test_augmented_samples_stay_in_range_and_in_number(seed: int) -> None:
    options = AugmentOptions(noise=0.5, noise_snr_db=(-10, 5), room=0.5, telephone=0.5, gain_db=20)
    made = augment(tone(400, 0.3), options, np.random.default_rng(seed))
    assert made.dtype == np.float32
    assert made.shape == (4800,)
    assert np.abs(made).max() <= 1.0


def test_the_same_seed_makes_the_same_change() -> None:
    options = AugmentOptions(noise=1.0, room=1.0, gain_db=6)
    a, b, c = (augment(tone(400), options, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_noise_lies_below_the_speech_by_the_asked_ratio(snr_db: float) -> None:
    made = in_noise(tone(400, 4.0), snr_db, np.random.default_rng(0))
    assert level_db(tone(400, 4.0)) - level_db(made - tone(400, 4.0)) == pytest.approx(snr_db, abs=0.2)


def test_noise_over_digital_silence_is_faint_and_finite() -> None:
    made = in_noise(np.zeros(1600, np.float32), 10.0, np.random.default_rng(0))
    assert 0 < np.abs(made).max() < 0.01


@pytest.mark.parametrize(("exponent", "db_per_octave"), [(0.0, 0.0), (1.0, -3.0), (2.0, -6.0)])
def test_noise_falls_by_its_colour(exponent: float, db_per_octave: float) -> None:
    noise = coloured_noise(4 * SAMPLE_RATE, exponent, np.random.default_rng(0))
    power = np.square(np.abs(np.fft.rfft(noise)))
    low, high = power[4 * 500 : 4 * 1000].mean(), power[4 * 1000 : 4 * 2000].mean()
    assert 10 * np.log10(high / low) == pytest.approx(db_per_octave, abs=0.5)
    assert level_db(noise) == pytest.approx(0.0, abs=0.01)


def test_noise_longer_than_its_block_is_filled() -> None:
    assert len(coloured_noise(10 * SAMPLE_RATE, 1.0, np.random.default_rng(0))) == 10 * SAMPLE_RATE


def test_a_room_keeps_the_direct_sound_and_rings_after_it() -> None:
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[100] = 0.5
    made = in_room(click, np.random.default_rng(0))
    assert np.abs(made[:100]).max() < 1e-6
    assert made[100] == pytest.approx(0.5, abs=1e-5)
    assert np.abs(made[101:1000]).max() > 1e-3
    assert np.abs(made[9000:]).max() < 1e-3


def test_a_telephone_passes_what_lies_below_4_khz() -> None:
    assert level_db(through_telephone(tone(1000))) == pytest.approx(level_db(tone(1000)), abs=0.3)
    assert level_db(through_telephone(tone(6000))) < level_db(tone(6000)) - 40


def test_spec_augment_masks_stripes_with_each_rows_mean_and_leaves_its_input() -> None:
    torch.manual_seed(0)
    mel = torch.randn(3, 80, 200)
    before = mel.clone()
    masked = spec_augment(mel, time_masks=1, frequency_masks=1)
    assert torch.equal(mel, before)
    for row, was in zip(masked, mel, strict=True):
        hidden = row == was.mean()
        times, bands = hidden.all(0), hidden.all(1)
        assert 1 <= int(times.sum()) < 40
        assert 1 <= int(bands.sum()) <= 80 // 6
        seen = ~(times[None, :] | bands[:, None])
        assert torch.equal(row[seen], was[seen])


def test_spec_augment_of_windows_shorter_than_a_mask() -> None:
    torch.manual_seed(0)
    assert spec_augment(torch.randn(1, 80, 10), 2, 0).shape == (1, 80, 10)
