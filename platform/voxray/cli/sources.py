"""What `voxray stream` sends, 16 kHz mono s16le: the samples of a file, or the microphone's."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from voxray.audio.constants import SAMPLE_RATE
from voxray.audio.pcm import Pcm, to_float, to_pcm
from voxray.audio.riff import may_begin, parse_header
from voxray.cli.messages import print_warning
from voxray.errors import AudioError, MissingDependency

BLOCK_S = 0.1
BLOCK_SAMPLES = int(SAMPLE_RATE * BLOCK_S)
BLOCK_BYTES = 2 * BLOCK_SAMPLES

RECORDERS = (
    "arecord -q -t wav -f S16_LE -r 16000 -c 1",  # its header has the rate that the device really opened at
    "parec --raw --format=s16le --rate=16000 --channels=1 --latency-msec=50",
    "sox -q -d -t raw -b 16 -e signed-integer -r 16000 -c 1 -",
)
"""Programs that write 16 kHz mono s16le to stdout, or WAV, in the order in which they are looked for."""

MAX_HEADER = 4_096  # bytes of WAV before the audio


def recording(file: Path, *, real_time: bool) -> AsyncIterator[bytes]:
    """Return the audio of a recording of any length in blocks of 100 ms, decoded as they are asked for.

    `real_time`: each comes when its last sample would have been spoken. Raises AudioError where the file
    cannot be decoded; a warning is printed where it is cut off or damaged.
    """
    from voxray.audio import decode_chunks

    chunks = decode_chunks(file, warn=print_warning)
    return _paced(_blocks(chain([next(chunks)], chunks)), real_time=real_time)


def _blocks(chunks: Iterable[Pcm]) -> Iterator[bytes]:
    """Yield `chunks` again as s16le in blocks of 100 ms, the last one shorter."""
    held = bytearray()
    for chunk in chunks:
        held += chunk.astype("<i2").data
        while len(held) >= BLOCK_BYTES:
            yield bytes(held[:BLOCK_BYTES])
            del held[:BLOCK_BYTES]
    if held:
        yield bytes(held)


async def _paced(blocks: Iterable[bytes], *, real_time: bool) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    begun_s, sent = loop.time(), 0
    for block in blocks:
        sent += len(block)
        if real_time:
            await asyncio.sleep(begun_s + sent / (2 * SAMPLE_RATE) - loop.time())
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


class MonoConverter:
    """Converts s16le of any rate and channels, cut anywhere, to 16 kHz mono s16le."""

    def __init__(self, rate: float, channels: int) -> None:
        from voxray.audio.mixing import ChannelMixer

        self._channels = channels
        self._held = b""  # less than a frame
        self._mixer = ChannelMixer(rate, np.full(channels, 1 / channels, dtype=np.float32))
        self._resampler: Any = None
        if rate != SAMPLE_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")

    def convert(self, data: bytes) -> bytes:
        """Return the samples that are ready after `data`."""
        data = self._held + data
        whole = len(data) - len(data) % (2 * self._channels)
        data, self._held = data[:whole], data[whole:]
        if not data or (self._channels == 1 and not self._resampler):
            return data
        samples = to_float(np.frombuffer(data, dtype="<i2"))
        mono = self._mixer.mix(samples.reshape(-1, self._channels).T)[0]
        if self._resampler:
            mono = self._resampler.resample_chunk(mono)
        return to_pcm(mono).astype("<i2").tobytes()


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
    converter: MonoConverter | None = None
    head = b""
    try:
        while block := await recorder.stdout.read(BLOCK_BYTES):
            if converter is None:
                head += block
                if (found := _converter_of(head)) is None:
                    continue
                converter, block = found
            if converted := converter.convert(block):
                yield converted
        lines = (await errors).decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit status {await recorder.wait()}"
        raise AudioError(f"expected {command[0]} to go on recording, got its end ({reason}).")
    finally:
        if recorder.returncode is None:
            recorder.terminate()
        await asyncio.gather(recorder.stdout.read(), errors)
        await recorder.wait()


def _converter_of(head: bytes) -> tuple[MonoConverter, bytes] | None:
    """Return the converter of what begins with `head`, and the audio in it; None if more bytes are needed."""
    if not may_begin(head):
        return MonoConverter(SAMPLE_RATE, 1), head
    header = parse_header(head, MAX_HEADER)
    if header is None:
        return None
    return MonoConverter(header.format.rate, header.format.channels), head[header.data_start :]


async def _from_device(sounddevice: Any) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[bytes] = asyncio.Queue()

    def on_block(data: Any, *_about: object) -> None:  # in PortAudio's thread
        loop.call_soon_threadsafe(blocks.put_nowait, bytes(data))

    with _recording(sounddevice, on_block) as converter:
        while True:
            if converted := converter.convert(await blocks.get()):
                yield converted


@contextmanager
def _recording(sounddevice: Any, on_block: Callable[..., None]) -> Iterator[MonoConverter]:
    """Call `on_block` with each block while the context lasts, and give the converter for them.

    The default device is opened at its own rate: many open at no other. Where it does not open with one
    channel, it is opened with all of its own. Raises AudioError where it does not start.
    """
    with ExitStack() as stack:
        try:
            device = sounddevice.query_devices(kind="input")
            rate, channels = device["default_samplerate"], device["max_input_channels"]
            try:
                stack.enter_context(_stream(sounddevice, on_block, rate, 1))
                channels = 1
            except sounddevice.PortAudioError:
                if channels <= 1:
                    raise
                stack.enter_context(_stream(sounddevice, on_block, rate, channels))
        except (sounddevice.PortAudioError, ValueError) as e:  # ValueError: there is no input device
            raise AudioError(f"expected a microphone, got none that can be opened ({e}).") from e
        yield MonoConverter(rate, channels)


def _stream(sounddevice: Any, on_block: Callable[..., None], rate: float, channels: int) -> Any:
    return sounddevice.RawInputStream(
        samplerate=rate,
        channels=channels,
        dtype="int16",
        blocksize=round(rate * BLOCK_S),
        callback=on_block,
    )
