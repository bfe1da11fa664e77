"""A client that plays a recording to the service, whatever happens."""

import asyncio
import time
from dataclasses import dataclass, field
from itertools import pairwise

from tests.benchmarks.recordings import PAUSES_S, Recording, sample_recording
from tests.small_model import SMALL_MODEL_CLIPS

from voxray.audio import SAMPLE_RATE
from voxray.client import Lost, stream
from voxray.wire import Final, Partial, Ready, Start

FRAME_S = 0.1


@dataclass
class Received:
    """What a client was told."""

    finals: list[Final] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    losses_s: list[float] = field(default_factory=list)  # when, of time.monotonic()
    models: list[str] = field(default_factory=list)
    rounds: int = 0  # how often it has said all of its audio
    delays_s: list[tuple[float, float]] = field(default_factory=list)  # of partials: when, and how late
    words_s: list[float] = field(default_factory=list)  # when partials and finals came, of time.monotonic()

    @property
    def text(self) -> str:
        """All finals on one line."""
        return " ".join(f.text for f in self.finals)

    def wordless_s(self, from_s: float, to_s: float) -> float:
        """The longest time without words that ended between `from_s` and `to_s`."""
        return max((b - a for a, b in pairwise(self.words_s) if from_s < b <= to_s), default=0.0)


async def speak(
    url: str,
    pcm: bytes,
    *,
    frame_s: float = FRAME_S,
    received: Received | None = None,
    over: asyncio.Event | None = None,
    start: Start | None = None,
) -> Received:
    """What comes back when `pcm` is played in real time, or as fast as there is credit (`frame_s` 0).

    It is noted in `received` as it comes. With `over` the audio is played again and again until that is set.
    """
    received = Received() if received is None else received
    frame = round(FRAME_S * SAMPLE_RATE) * 2
    async with stream(url, start, live=frame_s > 0) as live:
        now_s = asyncio.get_running_loop().time
        begun_s = now_s()

        async def play() -> None:
            number = 0
            while not received.rounds or (over and not over.is_set()):
                for at in range(0, len(pcm), frame):
                    await asyncio.sleep(begun_s + number * frame_s - now_s())
                    await live.send(pcm[at : at + frame])
                    number += 1
                received.rounds += 1
            await live.stop()

        playing = asyncio.create_task(play())
        async for event in live:
            if isinstance(event, Partial):
                received.delays_s.append((now_s(), now_s() - begun_s - event.end_s))
            if isinstance(event, Partial | Final):
                received.words_s.append(time.monotonic())
            if isinstance(event, Final):
                received.finals.append(event)
            elif isinstance(event, Lost):
                received.losses.append(event.reason)
                received.losses_s.append(time.monotonic())
            elif isinstance(event, Ready):
                received.models.append(event.model)
        await playing
    return received


def spoken_clips(length_s: float) -> Recording:
    """Return the small model's clips, one after another, up to `length_s`.

    They are in an order whose first minute it decodes alike in real time and as fast as it can: what differs
    in a test is then the test's doing.
    """
    return beginning(sample_recording("clips", PAUSES_S, seed=9, corpus=str(SMALL_MODEL_CLIPS)), length_s)


def beginning(recording: Recording, seconds: float) -> Recording:
    """The utterances that end within so many seconds, and a second of what follows them."""
    kept = tuple(u for u in recording.utterances if u.end_s < seconds - 1)
    last = round((kept[-1].end_s + 1) * SAMPLE_RATE)
    return Recording(recording.name, recording.pcm[:last], kept)
