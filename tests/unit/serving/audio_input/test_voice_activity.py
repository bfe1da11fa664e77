from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from faster_whisper.vad import get_vad_model
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL_CLIPS

from voxray.audio import Pcm, decode, to_float
from voxray.serving.audio_input.voice_activity import SileroDetector, Track, VoiceActivityDetector

CLIPS = sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:3]
FRAME = 512


@pytest.fixture(scope="module")
def voice() -> SileroDetector:
    return SileroDetector()


@pytest.fixture(scope="module")
def clips() -> list[Pcm]:
    return [decode(c) for c in CLIPS]


def heard(voice: VoiceActivityDetector, pcm: Pcm, cuts: Sequence[int] = ()) -> list[float]:
    """The probabilities of `pcm`, cut at the given places."""
    track = voice.track()
    edges = sorted({0, *(min(c, len(pcm)) for c in cuts), len(pcm)})
    return [p for a, b in pairwise(edges) for p in voice.probabilities([(track, pcm[a:b])])[0]]


def test_hears_what_faster_whisper_hears(voice: SileroDetector, clips: list[Pcm]) -> None:
    for pcm in clips:
        whole = pcm[: len(pcm) // FRAME * FRAME]
        # One frame more, for faster-whisper blanks the last samples that it is given.
        theirs = get_vad_model()(np.append(to_float(whole), np.zeros(FRAME, np.float32)))[:-1]

        assert heard(voice, pcm) == theirs.tolist()
        assert max(theirs) > 0.9


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 30_000), max_size=60))
def test_how_the_samples_are_cut_changes_nothing(
    voice: SileroDetector, clips: list[Pcm], cuts: list[int]
) -> None:
    assert heard(voice, clips[0], cuts) == heard(voice, clips[0])


def test_sessions_do_not_hear_each_other(voice: SileroDetector, clips: list[Pcm]) -> None:
    tracks = [voice.track() for _ in clips]
    found: list[list[float]] = [[] for _ in clips]
    for at in range(0, max(map(len, clips)), 800):
        pieces = voice.probabilities([(t, c[at : at + 800]) for t, c in zip(tracks, clips, strict=True)])
        for all_of_it, piece in zip(found, pieces, strict=True):
            all_of_it.extend(piece)

    assert found == [heard(voice, c) for c in clips]


def test_less_than_a_frame_waits_for_the_rest(voice: SileroDetector) -> None:
    track = voice.track()

    counts = [len(voice.probabilities([(track, np.zeros(n, np.int16))])[0]) for n in (511, 0, 1, 1_023, 1)]

    assert counts == [0, 0, 1, 1, 1]


def test_silence_and_noise_are_no_speech(voice: SileroDetector) -> None:
    noise = np.random.default_rng(0).normal(0, 300, 32_000).astype(np.int16)

    assert max(heard(voice, np.zeros(32_000, np.int16))) < 0.1
    assert max(heard(voice, noise)) < 0.35


def test_a_track_of_another_voice_is_refused(voice: SileroDetector) -> None:
    with pytest.raises(TypeError, match="expected a track of this voice, and a Track came"):
        voice.probabilities([(Track(), np.zeros(512, np.int16))])
