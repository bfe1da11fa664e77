"""What `voxray stream` sends, 16 kHz mono s16le: the samples of a file, or the microphone's."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from voxray.audio.constants import SAMPLE_RATE
from voxray.errors import AudioError, MissingDependency

BLOCK_S = 0.1
BLOCK_SAMPLES = int(SAMPLE_RATE * BLOCK_S)
BLOCK_BYTES = 2 * BLOCK_SAMPLES

RECORDERS = (
    "arecord -q -t raw -f S16_LE -r 16000 -c 1",
    "parec --raw --format=s16le --rate=16000 --channels=1 --latency-msec=50",
    "sox -q -d -t raw -b 16 -e signed-integer -r 16000 -c 1 -",
)
"""Programs that write 16 kHz mono s16le to stdout, in the order in which they are looked for."""


async def audio_blocks(audio: bytes, *, real_time: bool) -> AsyncIterator[bytes]:
    """Yield `audio` in blocks of 100 ms; `real_time`: each when its last sample would have been spoken."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    for at in range(0, len(audio), BLOCK_BYTES):
        block = audio[at : at + BLOCK_BYTES]
        if real_time:
            spoken_s = (at + len(block)) / (2 * SAMPLE_RATE)
            await asyncio.sleep(begun_s + spoken_s - loop.time())
        yield block


def microphone() -> AsyncIterator[bytes]:
    """Return the audio of the default microphone, by the sounddevice package or the first of `RECORDERS`.

    Raises MissingDependency where there is none of them; iterating raises AudioError where recording ends.
    """
    try:
        return _from_device(import_module("sounddevice"))
    except (ImportError, OSError):  # OSError: PortAudio itself is not there
        pass
    command = next((c.split() for c in RECORDERS if shutil.which(c.split()[0])), None)
    if command is None:
        raise MissingDependency(
            "expected the package sounddevice, or arecord, parec or sox, to record with, got none of them; "
            "pip install 'voxray[mic]', or install one of the three."
        )
    return _from_recorder(command)


async def _from_recorder(command: list[str]) -> AsyncIterator[bytes]:
    recorder = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us: the recorder ends when the flush begins
    )
    assert recorder.stdout
    assert recorder.stderr
    errors = asyncio.create_task(recorder.stderr.read())
    try:
        while block := await recorder.stdout.read(BLOCK_BYTES):
            yield block
        lines = (await errors).decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit status {await recorder.wait()}"
        raise AudioError(f"expected {command[0]} to go on recording, got its end ({reason}).")
    finally:
        if recorder.returncode is None:
            recorder.terminate()
        await asyncio.gather(recorder.stdout.read(), errors)
        await recorder.wait()


async def _from_device(sounddevice: Any) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[bytes] = asyncio.Queue()

    def on_block(data: Any, *_about: object) -> None:  # in PortAudio's thread
        loop.call_soon_threadsafe(blocks.put_nowait, bytes(data))

    with _recording(sounddevice, on_block):
        while True:
            yield await blocks.get()


@contextmanager
def _recording(sounddevice: Any, on_block: Callable[..., None]) -> Iterator[None]:
    """Call `on_block` with each block while the context lasts; AudioError where the device does not start."""
    with ExitStack() as stack:
        try:
            stream = sounddevice.RawInputStream(
                samplerate=SAMPLE_RATE, channels=1, dtype="int16", blocksize=BLOCK_SAMPLES, callback=on_block
            )
            stack.enter_context(stream)
        except sounddevice.PortAudioError as e:
            raise AudioError(f"expected a microphone, got none that can be opened ({e}).") from e
        yield
