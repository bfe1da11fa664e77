import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from voxray.audio import SAMPLE_RATE, Pcm, resample, to_float, to_pcm


@given(npst.arrays(np.int16, st.integers(0, 500)))
def test_pcm_survives_the_way_to_float_and_back(pcm: Pcm) -> None:
    assert np.array_equal(to_pcm(to_float(pcm)), pcm)


def test_floats_out_of_range_are_clipped() -> None:
    assert to_pcm(np.array([-2.0, -1.0, 0.0, 1.0, 2.0])).tolist() == [-32768, -32768, 0, 32767, 32767]


def test_resampling_keeps_the_pitch_and_the_length() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000, dtype=np.float32)

    out = resample(tone, 8_000)

    assert len(out) == SAMPLE_RATE
    assert np.argmax(np.abs(np.fft.rfft(out))) == 440


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    samples = np.ones(100, dtype=np.float32)

    assert resample(samples, SAMPLE_RATE) is samples
