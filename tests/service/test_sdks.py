"""The clients of other services get the words that our own gets."""

import asyncio
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.benchmarks.recordings import Recording
from tests.service.local import LocalService
from tests.service.sdks import (
    ListenV1Metadata,
    by_deepgram,
    by_openai,
    deepgram_text,
    finals,
)
from tests.service.speaking import speak

from voxray.audio import SAMPLE_RATE, resample, to_float
from voxray.serving.audio_input.g711 import TABLES
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


def test_two_speakers_of_a_telephone_line_with_the_client_of_deepgram(
    service: LocalService, recording: Recording
) -> None:
    line = g711(resample(to_float(recording.pcm), SAMPLE_RATE, 8_000))
    half = len(line) // 2
    asked: dict[str, Any] = {"encoding": "mulaw", "sample_rate": 8_000, "smart_format": True}

    async def said(channel: Mulaw) -> str:
        return deepgram_text(await by_deepgram(service.http, channel, **asked))

    both = np.stack([line[:half], line[-half:]], axis=1)
    told = asyncio.run(by_deepgram(service.http, both, **asked, channels=2, multichannel=True))

    for index, channel in enumerate(both.T):
        own = [m for m in told if isinstance(m, ListenV1Metadata) or m.channel_index == [index, 2]]
        assert deepgram_text(own) == asyncio.run(said(np.ascontiguousarray(channel))) != ""
    assert told[-1].channels == 2
    assert told[-1].duration == pytest.approx(half / 8_000, abs=0.1)


Mulaw = npt.NDArray[np.uint8]


def g711(samples: npt.NDArray[np.float32]) -> Mulaw:
    """The nearest codes of mu-law."""
    order = np.argsort(TABLES["mulaw"])
    values = TABLES["mulaw"][order]
    nearest: Mulaw = order[np.searchsorted((values[1:] + values[:-1]) / 2, samples)].astype(np.uint8)
    return nearest
