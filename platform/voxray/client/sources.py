"""Where `voxray stream` has its audio (16 kHz mono s16le) from: a decoded file, or the microphone."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from voxray.errors import AudioError, MissingDependency

SAMPLE_RATE = 16_000
BLOCK_S = 0.1
BLOCK_SAMPLES = int(SAMPLE_RATE * BLOCK_S)
BLOCK_BYTES = 2 * BLOCK_SAMPLES

RECORDERS = (
    "arecord -q -t raw -f S16_LE -r 16000 -c 1",
    "parec --raw --format=s16le --rate=16000 --channels=1 --latency-msec=50",
    "sox -q -d -t raw -b 16 -e signed-integer -r 16000 -c 1 -",
)
"""Programs that write 16 kHz mono s16le to stdout, in the order in which they are looked for."""


async def played(audio: bytes, *, paced: bool) -> AsyncIterator[bytes]:
    """`audio` in blocks of 100 ms; `paced`: each once its last sample would have been spoken."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    for at in range(0, len(audio), BLOCK_BYTES):
        block = audio[at : at + BLOCK_BYTES]
        if paced:
            spoken_s = (at + len(block)) / (2 * SAMPLE_RATE)
            await asyncio.sleep(begun_s + spoken_s - loop.time())
        yield block


def microphone() -> AsyncIterator[bytes]:
    """What the default microphone hears, by the sounddevice package or the first of `RECORDERS`.

    Raises MissingDependency where there is none of them; the iteration AudioError where it stops by itself.
    """
    try:
        return _from_device(import_module("sounddevice"))
    except (ImportError, OSError):  # OSError: PortAudio itself is not there
        pass
    command = next((c.split() for c in RECORDERS if shutil.which(c.split()[0])), None)
    if command is None:
        raise MissingDependency(
            "expected the package sounddevice, or arecord, parec or sox, to record with, and none is there; "
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
    complaint = asyncio.create_task(recorder.stderr.read())
    try:
        while block := await recorder.stdout.read(BLOCK_BYTES):
            yield block
        said = (await complaint).decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"exit status {await recorder.wait()}"
        raise AudioError(f"expected {command[0]} to go on recording, and it ended ({reason}).")
    finally:
        if recorder.returncode is None:
            recorder.terminate()
        await asyncio.gather(recorder.stdout.read(), complaint)
        await recorder.wait()


async def _from_device(sounddevice: Any) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[bytes] = asyncio.Queue()

    def heard(data: Any, *_about: object) -> None:  # in PortAudio's thread
        loop.call_soon_threadsafe(blocks.put_nowait, bytes(data))

    with _opened(sounddevice, heard):
        while True:
            yield await blocks.get()


@contextmanager
def _opened(sounddevice: Any, heard: Callable[..., None]) -> Iterator[None]:
    """While it lasts, `heard` is given blocks. AudioError where the device does not open or start."""
    with ExitStack() as stack:
        try:
            stream = sounddevice.RawInputStream(
                samplerate=SAMPLE_RATE, channels=1, dtype="int16", blocksize=BLOCK_SAMPLES, callback=heard
            )
            stack.enter_context(stream)
        except sounddevice.PortAudioError as e:
            raise AudioError(f"expected a microphone, and none can be opened ({e}).") from e
        yield
