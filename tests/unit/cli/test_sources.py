import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from voxray.cli.sources import BLOCK_BYTES, _from_device
from voxray.errors import AudioError


class PortAudioError(Exception):
    """As sounddevice has it."""


@dataclass
class Device:
    """A `sounddevice.RawInputStream` that gives one block at its start, or fails there."""

    callback: Any
    fails: bool
    running: bool = False

    def __enter__(self) -> "Device":
        if self.fails:
            raise PortAudioError("Invalid device [PaErrorCode -9996]")
        self.running = True
        self.callback(bytes(BLOCK_BYTES), BLOCK_BYTES // 2, None, None)
        return self

    def __exit__(self, *_: object) -> None:
        self.running = False


def first_block(*, opens: bool = True, starts: bool = True) -> tuple[bytes, list[Device]]:
    """The first block of a device, which is then left."""
    devices = list[Device]()

    def opened(callback: Any, **_: object) -> Device:
        if not opens:
            raise PortAudioError("Device unavailable [PaErrorCode -9985]")
        devices.append(Device(callback, fails=not starts))
        return devices[0]

    async def listen() -> bytes:
        source = _from_device(SimpleNamespace(RawInputStream=opened, PortAudioError=PortAudioError))
        try:
            return await anext(source)
        finally:
            await source.aclose()  # type: ignore[attr-defined]  # it is a generator

    return asyncio.run(listen()), devices


def test_a_device_gives_blocks_and_is_left() -> None:
    block, (device,) = first_block()

    assert len(block) == BLOCK_BYTES
    assert not device.running


@pytest.mark.parametrize(
    ("opens", "starts", "reason"), [(False, True, "Device unavailable"), (True, False, "Invalid device")]
)
def test_a_device_that_cannot_be_used_is_reported(opens: bool, starts: bool, reason: str) -> None:
    with pytest.raises(AudioError, match=rf"expected a microphone, got none that can be opened \({reason}"):
        first_block(opens=opens, starts=starts)
