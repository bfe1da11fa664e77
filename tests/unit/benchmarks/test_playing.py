from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.benchmarks.playing import Part, frames
from tests.benchmarks.recordings import Recording, Utterance, joined, read, sample_recording, trimmed

from voxray.audio import SAMPLE_RATE, Pcm, encode
from voxray.errors import CorpusError

SILENT_DBFS = -200.0


def tone(length_s: float, level: int) -> Pcm:
    return np.full(round(length_s * SAMPLE_RATE), level, np.int16)


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Three utterances, each at a level of its own, so that a sample says whose it is."""
    parts = [(tone(length_s, 1000 * i), f"word {i}") for i, length_s in enumerate((1.0, 0.5, 2.0), start=1)]
    return joined("levels", parts, [0.3, 0.05, 1.0])


@given(st.integers(0, 10_000), st.floats(3.0, 15.0))
def test_what_is_kept_is_whole_and_what_is_not_is_silent(
    recording: Recording, seed: int, seconds: float
) -> None:
    played = Part(recording, seconds, seed, noise_dbfs=SILENT_DBFS, quiet_s=1.0).played()
    expected = np.zeros(round(seconds * SAMPLE_RATE), np.int16)
    for u in played.utterances:
        assert 0 <= u.start_s < u.end_s <= seconds - 1.0
        expected[round(u.start_s * SAMPLE_RATE) : round(u.end_s * SAMPLE_RATE)] = 1000 * int(u.text[-1])

    assert np.array_equal(played.pcm, expected)


def test_a_recording_goes_round(recording: Recording) -> None:
    texts = [u.text for u in Part(recording, 30.0, seed=3).played().utterances]
    again = [f"word {i}" for i in (1, 2, 3)] * 8
    first = again.index(texts[0])

    assert len(texts) > 12
    assert texts == again[first : first + len(texts)]


def test_a_seed_plays_the_same_and_another_something_else(recording: Recording) -> None:
    one, same, other = (Part(recording, 5.0, seed).played().pcm for seed in (1, 1, 2))

    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_noise_has_its_level(recording: Recording) -> None:
    pcm = Part(recording, 10.0, seed=1, noise_dbfs=-40.0, quiet_s=10.0).played().pcm
    level = 10 * np.log10(np.square(pcm / 32768).mean())

    assert level == pytest.approx(-40.0, abs=0.1)


@given(st.integers(0, 5_000), st.sampled_from([10, 20, 100]))
def test_frames_are_the_audio(samples: int, frame_ms: int) -> None:
    pcm = np.arange(samples, dtype=np.int16)
    cut = frames(pcm, frame_ms)

    assert b"".join(cut) == pcm.tobytes()
    assert {len(f) for f in cut[:-1]} <= {frame_ms * 32}


def test_silence_at_the_ends_of_a_clip_is_trimmed() -> None:
    clip = np.concatenate([tone(0.2, 0), tone(0.5, 5000), tone(0.3, 0)])

    assert np.array_equal(trimmed(clip), tone(0.5, 5000))
    assert len(trimmed(tone(0.5, 0))) == 0


def test_sample_clips_are_joined_with_their_bounds() -> None:
    recording = sample_recording("nonstop", (0.05, 0.05))
    gaps = [b.start_s - a.end_s for a, b in zip(recording.utterances, recording.utterances[1:], strict=False)]

    assert len(recording.utterances) == 40
    assert gaps == pytest.approx([0.05] * 39)
    assert recording.length_s == pytest.approx(recording.utterances[-1].end_s + 0.05)


def test_a_recording_is_read_with_its_tsv(tmp_path: Path) -> None:
    audio, tsv = tmp_path / "a.wav", tmp_path / "a.tsv"
    audio.write_bytes(encode(tone(3.0, 100), "pcm_s16le", "wav"))
    tsv.write_text("0.5\t1.0\tone two\n1.5\t2.5\tthree\n")

    assert read(audio, tsv).utterances == (Utterance(0.5, 1.0, "one two"), Utterance(1.5, 2.5, "three"))


@pytest.mark.parametrize("text", ["", "1 2 three\n", "2\t1\tback\n", "1\t4\tpast the end\n", "a\tb\tc\n"])
def test_a_tsv_that_does_not_fit_is_named(text: str, tmp_path: Path) -> None:
    audio, tsv = tmp_path / "a.wav", tmp_path / "a.tsv"
    audio.write_bytes(encode(tone(3.0, 100), "pcm_s16le", "wav"))
    tsv.write_text(text)

    with pytest.raises(CorpusError, match=r"a\.tsv"):
        read(audio, tsv)
