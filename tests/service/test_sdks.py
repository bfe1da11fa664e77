"""The clients of other services get the words that our own gets."""

import asyncio
from typing import Any

import pytest
from tests.benchmarks.recordings import Recording
from tests.service.local import LocalService
from tests.service.sdks import ListenV1Metadata, by_deepgram, by_openai, deepgram_text, finals
from tests.service.speaking import speak

from voxray.audio import SAMPLE_RATE
from voxray.text import word_errors

LENGTH_S = 20.0

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def ours(service: LocalService, recording: Recording) -> str:
    """What our own client is told."""
    return asyncio.run(speak(service.url, recording.pcm.tobytes(), frame_s=0)).text


@pytest.mark.parametrize("turns", [True, False])
def test_the_client_of_openai(service: LocalService, recording: Recording, ours: str, turns: bool) -> None:
    told = asyncio.run(by_openai(service.http, recording.pcm, turns=turns))

    assert word_errors(ours, told.text).errors <= 1  # 24 kHz audio is not the same to a bit
    assert dict(told.deltas) == {item: text for item, text in told.transcripts.items() if text}
    assert len(told.transcripts) > 1 if turns else len(told.transcripts) == 1


def test_the_client_of_deepgram(service: LocalService, recording: Recording, ours: str) -> None:
    asked: dict[str, Any] = {"interim_results": True, "smart_format": True, "endpointing": 600}
    told = asyncio.run(by_deepgram(service.http, recording.pcm, **asked))

    assert deepgram_text(told) == ours
    words = [word for m in finals(told) for word in m.channel.alternatives[0].words]
    assert " ".join(word.punctuated_word or "" for word in words) == ours
    assert all(a.start <= a.end for a in words)
    assert all(0 < word.confidence <= 1 for word in words)
    assert isinstance(told[-1], ListenV1Metadata)
    assert told[-1].duration == pytest.approx(len(recording.pcm) / SAMPLE_RATE, abs=0.1)
