"""A client that does all right: it sends the small model's clips in real time and keeps what comes back."""

import asyncio
import time
from dataclasses import dataclass, field

import numpy as np
from tests.small_model import SMALL_MODEL_CLIPS

from voxray.audio import SAMPLE_RATE, decode
from voxray.client import Live, stream
from voxray.wire import Final

CLIPS = ("espeak-en-us-m3-0020", "espeak-en-us-f2-0020", "espeak-en-us-annie-0020", "espeak-en-m1-0020")
PAUSE_S = 1.2  # after each, so that each is an utterance
CHUNK_BYTES = SAMPLE_RATE // 20 * 2
BYTES_PER_S = 2 * SAMPLE_RATE


@dataclass
class Listener:
    """What it heard, how long after each utterance's end, and how often it said what in how many messages."""

    session: str = ""
    texts: list[str] = field(default_factory=list)
    delays_s: list[float] = field(default_factory=list)
    rounds: int = 0
    sent: int = 2  # start and stop


def clips() -> bytes:
    """One utterance for each of `CLIPS`."""
    folder = SMALL_MODEL_CLIPS
    pause = np.zeros(round(PAUSE_S * SAMPLE_RATE), np.int16)
    return b"".join(np.concatenate([decode(folder / f"{n}.ogg"), pause]).tobytes() for n in CLIPS)


async def listen(url: str, audio: bytes, listener: Listener, over: asyncio.Event | None = None) -> None:
    """Say `audio` in real time, again and again until it is `over`; once where that is None."""
    async with stream(url, live=True) as live:
        listener.session = live.ready.session
        began_s = time.monotonic()
        speaking = asyncio.create_task(_speak(live, audio, listener, over))
        async for event in live:
            if isinstance(event, Final):
                listener.texts.append(event.text)
                listener.delays_s.append(time.monotonic() - began_s - event.end_s)
        await speaking


async def _speak(live: Live, audio: bytes, listener: Listener, over: asyncio.Event | None) -> None:
    began_s, said = time.monotonic(), 0
    while not listener.rounds or (over and not over.is_set()):
        for at in range(0, len(audio), CHUNK_BYTES):
            await asyncio.sleep(began_s + said / BYTES_PER_S - time.monotonic())
            chunk = audio[at : at + CHUNK_BYTES]
            await live.send(chunk)
            said += len(chunk)
            listener.sent += 1
        listener.rounds += 1
    await live.stop()
