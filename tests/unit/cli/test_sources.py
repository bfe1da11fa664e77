import asyncio
import os
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.unit.audio.files import Track, channels_as_wav, muxed, pitch, tone

from voxray.audio import Pcm, decode
from voxray.cli.sources import MonoConverter, _from_device, _from_recorder, recording
from voxray.errors import AudioError


class PortAudioError(Exception):
    """As sounddevice has it."""


@dataclass
class Microphone:
    """A default input device that opens in `opens` alone (rates and channels), and records a tone."""

    opens: set[tuple[float, int]]
    rate: float = 48_000.0
    channels: int = 2
    starts: bool = True
    inverted: bool = False  # the second channel
    asked: list[tuple[float, int]] = field(default_factory=list)
    running: bool = False

    def sounddevice(self) -> Any:
        return SimpleNamespace(
            PortAudioError=PortAudioError, RawInputStream=self.stream, query_devices=self.query
        )

    def query(self, *, kind: str) -> dict[str, Any]:
        assert kind == "input"
        if not self.channels:
            raise ValueError("no input device")
        return {"default_samplerate": self.rate, "max_input_channels": self.channels}

    def stream(self, *, samplerate: float, channels: int, callback: Any, **_: object) -> "Stream":
        self.asked.append((samplerate, channels))
        if (samplerate, channels) not in self.opens:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")
        return Stream(self, channels, callback)


@dataclass
class Stream:
    """What `sounddevice.RawInputStream` returns: it gives a second at its start, or fails there."""

    microphone: Microphone
    channels: int
    callback: Any

    def __enter__(self) -> "Stream":
        if not self.microphone.starts:
            raise PortAudioError("Invalid device [PaErrorCode -9996]")
        self.microphone.running = True
        mono = tone(1.0, round(self.microphone.rate))
        second = -mono if self.microphone.inverted else mono
        sound = np.stack([mono, second][: self.channels], axis=1).astype("<i2").tobytes()
        for at in range(0, len(sound), 4_801):
            self.callback(sound[at : at + 4_801], 0, None, None)
        return self

    def __exit__(self, *_: object) -> None:
        self.microphone.running = False


def recorded(source: AsyncIterator[bytes], samples: int) -> Pcm:
    """The first samples of a source, which is then left."""

    async def listen() -> bytes:
        sound = b""
        try:
            while len(sound) < 2 * samples:
                sound += await anext(source)
        finally:
            await source.aclose()  # type: ignore[attr-defined]  # it is a generator
        return sound

    return np.frombuffer(asyncio.run(listen()), dtype="<i2")


@pytest.mark.parametrize("rate", [16_000.0, 44_100.0, 48_000.0, 96_000.0])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_device_is_opened_at_its_own_rate_and_channels(rate: float, channels: int, inverted: bool) -> None:
    microphone = Microphone({(rate, channels)}, rate, inverted=inverted)
    pcm = recorded(_from_device(microphone.sounddevice()), 14_000)

    assert pitch(pcm) == pytest.approx(440, abs=2)
    assert np.abs(pcm).max() > 9_000
    assert microphone.asked[-1] == (rate, channels)
    assert not microphone.running


@pytest.mark.parametrize(
    ("microphone", "reason"),
    [
        (Microphone(set()), "Invalid sample rate"),
        (Microphone({(48_000.0, 2)}, channels=1), "Invalid sample rate"),
        (Microphone({(48_000.0, 1)}, channels=1, starts=False), "Invalid device"),
        (Microphone(set(), channels=0), "no input device"),
    ],
)
def test_a_device_that_cannot_be_used_is_reported(microphone: Microphone, reason: str) -> None:
    with pytest.raises(AudioError, match=rf"expected a microphone, got none that can be opened \({reason}"):
        recorded(_from_device(microphone.sounddevice()), 1)


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_recorder_of_wav_is_believed_about_its_rate(rate: int, channels: int, tmp_path: Path) -> None:
    wav = tmp_path / "recorded.wav"
    wav.write_bytes(channels_as_wav([tone(1.0, rate)] * channels, rate=rate))

    assert pitch(recorded(_from_recorder(["cat", str(wav)]), 14_000)) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("size", [1, 3, 4_801])
def test_the_conversion_does_not_depend_on_how_the_bytes_are_cut(size: int) -> None:
    sound = np.repeat(tone(0.5, 44_100), 2).astype("<i2").tobytes()
    whole = MonoConverter(44_100, 2).convert(sound)
    converter = MonoConverter(44_100, 2)
    cut = b"".join(converter.convert(sound[at : at + size]) for at in range(0, len(sound), size))

    a, b = (np.frombuffer(data, dtype="<i2") for data in (whole, cut))
    length = min(len(a), len(b))
    assert length > 7_000
    assert np.abs(a[:length].astype(int) - b[:length]).max() <= 1


def test_a_recording_of_any_length_is_decoded_as_it_is_sent(tmp_path: Path) -> None:
    file, size = tmp_path / "day.wav", 24 * 3600 * 4_000  # 8-bit at 4 kHz
    header = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", size + 36, b"WAVE", b"fmt ", 16, 1, 1, 4_000, 4_000, 1, 8
    )
    file.write_bytes(header + struct.pack("<4sI", b"data", size))
    os.truncate(file, len(header) + 8 + size)

    async def first_blocks() -> list[bytes]:
        blocks = recording(file, real_time=False)
        return [await anext(blocks) for _ in range(20)]

    assert [len(block) for block in asyncio.run(first_blocks())] == [3_200] * 20


def test_a_recording_is_sent_whole_with_silence_in_its_holes(tmp_path: Path) -> None:
    file = tmp_path / "call.mkv"
    file.write_bytes(muxed("matroska", Track("libopus", lost_s=(1.0, 3.0))))

    async def sent() -> bytes:
        return b"".join([block async for block in recording(file, real_time=False)])

    assert np.array_equal(np.frombuffer(asyncio.run(sent()), dtype="<i2"), decode(file))


def test_a_recording_that_cannot_be_decoded_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"nowhere\.wav: expected an audio file"):
        recording(tmp_path / "nowhere.wav", real_time=False)
