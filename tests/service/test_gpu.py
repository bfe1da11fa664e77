"""The live service with its transcriber on a CUDA device, on real Whisper."""

import asyncio

import pytest
from tests.benchmarks.recordings import PAUSES_S, sample_recording
from tests.gpu.tiny import NEEDS_TINY
from tests.service.launched import Launched
from tests.service.speaking import beginning, speak

from voxray.text import word_errors

pytestmark = [pytest.mark.gpu, pytest.mark.ray, NEEDS_TINY]
ARGS = ("model=tiny.en", "transcriber.gpus=1")


def test_a_transcriber_on_a_gpu_hears_live_speech(launched_service: Launched) -> None:
    recording = beginning(sample_recording("clips", PAUSES_S), 30.0)
    received = asyncio.run(speak(launched_service.url, recording.pcm.tobytes()))

    spoken = " ".join(u.text for u in recording.utterances)
    assert not received.losses
    assert word_errors(spoken, received.text).rate < 0.1
