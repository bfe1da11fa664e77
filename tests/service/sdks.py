"""The clients of other services, as their makers publish them, with a recording each."""

import asyncio
import base64
import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
from openai import AsyncOpenAI

from voxray.audio import SAMPLE_RATE, Pcm, resample, to_float, to_pcm

with warnings.catch_warnings():  # it uses names of websockets that are deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    from deepgram import AsyncDeepgramClient
    from deepgram.core.api_error import ApiError as ApiError
    from deepgram.environment import DeepgramClientEnvironment
    from deepgram.listen.v1.types import ListenV1Metadata as ListenV1Metadata
    from deepgram.listen.v1.types import ListenV1Results

LIMIT_S = 60.0
FRAME_S = 0.1
TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass
class Transcribed:
    """What OpenAI's client was told: by item, its deltas joined, and its transcript."""

    deltas: defaultdict[str, str] = field(default_factory=lambda: defaultdict(str))
    transcripts: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All transcripts on one line."""
        return " ".join(filter(None, self.transcripts.values()))


async def by_openai(http: str, pcm: Pcm, *, turns: bool = True, key: str = "any") -> Transcribed:
    """Send `pcm` with OpenAI's client, as fast as it can, and commit the rest of it."""
    audio = to_pcm(resample(to_float(pcm), SAMPLE_RATE, 24_000)).tobytes()
    frame = round(FRAME_S * 24_000) * 2
    client = AsyncOpenAI(api_key=key, base_url=f"{http}/v1")
    connecting = client.realtime.connect(extra_query={"intent": "transcription"})
    async with asyncio.timeout(LIMIT_S), client, connecting as connection:
        detection: Any = {"type": "server_vad", "silence_duration_ms": 600} if turns else None
        settings: Any = {"transcription": {"model": "gpt-4o-transcribe"}, "turn_detection": detection}
        await connection.session.update(session={"type": "transcription", "audio": {"input": settings}})
        for at in range(0, len(audio), frame):
            coded = base64.b64encode(audio[at : at + frame]).decode()
            await connection.input_audio_buffer.append(audio=coded)
        await connection.input_audio_buffer.commit()
        return await _transcribed(connection)


async def _transcribed(connection: Any) -> Transcribed:
    """What comes until the item that the client committed is complete: it has no `speech_stopped`."""
    told, stopped, committed = Transcribed(), set[str](), set[str]()
    async for event in connection:
        assert event.type != "error", event
        if event.type == "input_audio_buffer.speech_stopped":
            stopped.add(event.item_id)
        elif event.type == "input_audio_buffer.committed":
            committed |= {event.item_id} - stopped
        elif event.type == f"{TRANSCRIPTION}.delta":
            told.deltas[event.item_id] += event.delta
        elif event.type == f"{TRANSCRIPTION}.completed":
            told.transcripts[event.item_id] = event.transcript
            if event.item_id in committed:
                break
    return told


async def by_deepgram(http: str, samples: npt.NDArray[Any], key: str = "any", **options: Any) -> list[Any]:
    """Send `samples` with Deepgram's client, as fast as it can; return all that comes until its Metadata."""
    where = DeepgramClientEnvironment(
        base=http, production=http.replace("http", "ws", 1), agent=http, agent_rest=http
    )
    audio, frame = samples.tobytes(), round(FRAME_S * SAMPLE_RATE) * 2
    client = AsyncDeepgramClient(api_key=key, environment=where)
    raw: dict[str, Any] = {"model": "nova-3", "encoding": "linear16", "sample_rate": SAMPLE_RATE}
    told = list[Any]()
    async with asyncio.timeout(LIMIT_S), client.listen.v1.connect(**raw | options) as connection:
        for at in range(0, len(audio), frame):
            await connection.send_media(audio[at : at + frame])
        await connection.send_close_stream()
        async for message in connection:
            told.append(message)
            if isinstance(message, ListenV1Metadata):
                break
    return told


def finals(told: list[Any]) -> list[ListenV1Results]:
    """The final results among what Deepgram's client was told."""
    return [m for m in told if isinstance(m, ListenV1Results) and m.is_final]


def deepgram_text(told: list[Any]) -> str:
    """The texts of all finals on one line."""
    return " ".join(filter(None, (m.channel.alternatives[0].transcript for m in finals(told))))
