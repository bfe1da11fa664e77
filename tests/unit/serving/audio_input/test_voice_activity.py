from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from faster_whisper.vad import get_vad_model
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL_CLIPS

from voxray.audio import Pcm, decode, to_float
from voxray.serving.audio_input.voice_activity import SileroModel

CLIPS = sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:3]
FRAME = 512


@pytest.fixture(scope="module")
def model() -> SileroModel:
    return SileroModel()


@pytest.fixture(scope="module")
def clips() -> list[Pcm]:
    return [decode(c) for c in CLIPS]


def probabilities(model: SileroModel, pcm: Pcm, cuts: Sequence[int] = ()) -> list[float]:
    """The probabilities of `pcm`, cut at the given places."""
    detector = model.detector()
    edges = sorted({0, *(min(c, len(pcm)) for c in cuts), len(pcm)})
    return [p for a, b in pairwise(edges) for p in detector.probabilities(pcm[a:b])]


def test_agrees_with_faster_whisper(model: SileroModel, clips: list[Pcm]) -> None:
    for pcm in clips:
        whole = pcm[: len(pcm) // FRAME * FRAME]
        # One frame more, because faster-whisper blanks the last samples that it is given.
        theirs = get_vad_model()(np.append(to_float(whole), np.zeros(FRAME, np.float32)))[:-1]

        assert probabilities(model, pcm) == theirs.tolist()
        assert max(theirs) > 0.9


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 30_000), max_size=60))
def test_the_result_does_not_depend_on_how_samples_are_cut(
    model: SileroModel, clips: list[Pcm], cuts: list[int]
) -> None:
    assert probabilities(model, clips[0], cuts) == probabilities(model, clips[0])


def test_detectors_of_one_model_do_not_affect_each_other(model: SileroModel, clips: list[Pcm]) -> None:
    detectors = [model.detector() for _ in clips]
    found: list[list[float]] = [[] for _ in clips]
    for at in range(0, max(map(len, clips)), 800):
        for detector, clip, all_of_it in zip(detectors, clips, found, strict=True):
            all_of_it += detector.probabilities(clip[at : at + 800])

    assert found == [probabilities(model, c) for c in clips]


def test_less_than_a_frame_waits_for_the_rest(model: SileroModel) -> None:
    detector = model.detector()

    counts = [len(detector.probabilities(np.zeros(n, np.int16))) for n in (511, 0, 1, 1_023, 1)]

    assert counts == [0, 0, 1, 1, 1]


def test_silence_and_noise_are_no_speech(model: SileroModel) -> None:
    noise = np.random.default_rng(0).normal(0, 300, 32_000).astype(np.int16)

    assert max(probabilities(model, np.zeros(32_000, np.int16))) < 0.1
    assert max(probabilities(model, noise)) < 0.35
