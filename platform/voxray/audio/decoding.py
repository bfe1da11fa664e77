"""Audio in: any container, codec, rate and channel count becomes 16 kHz mono int16.

FFmpeg (through PyAV) is given an open file, only the containers named in `CONTAINERS`, and no protocol, so
that a playlist dressed as audio cannot make it read other files or URLs.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

import av
import av.error
import numpy as np

from voxray.audio import riff
from voxray.audio.constants import SAMPLE_RATE
from voxray.audio.mixing import MonoResampler
from voxray.audio.pcm import Pcm
from voxray.errors import AudioError

CONTAINERS = "wav,w64,aiff,flac,mp3,aac,ogg,matroska,webm,mov,mp4"
SAFE_OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": ""}  # for FFmpeg
MIN_RATE = 4_000  # of the source; at 1 Hz a packet of a few bytes would become hours
EXTENSIONS = frozenset(
    {".wav", ".w64", ".aif", ".aiff", ".flac", ".mp3", ".aac", ".ogg", ".oga", ".opus"}
    | {".mka", ".mkv", ".webm", ".m4a", ".mp4", ".mov"}
)
MAX_DECODED_S = 4 * 3600.0
CUT_OFF_S = 0.25  # codecs' own delay and padding stay below this
MISCOUNTED_BYTES = 128  # some writers of WAV count its header, or a part of it, as audio
MAX_DAMAGED = 0.05  # of the packets; tags and the ends of streams leave a few that are not audio
_WITH_LENGTH = frozenset({"flac", "aiff", "mov"})  # containers whose header says exactly how long they are


def decode(
    source: bytes | Path | BinaryIO,
    *,
    name: str = "",
    max_s: float = MAX_DECODED_S,
    admit: Callable[[int], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Pcm:
    """Return the whole of `source` as 16 kHz mono int16. An open file is read from its start, and left open.

    `admit` is called with the number of samples before they are kept; what it raises ends the decoding.

    Raises AudioError, naming `name` (default: the path), when the file cannot be read, is not audio in one
    of `CONTAINERS`, holds no samples or more than `max_s` seconds, or is cut off: with half a recording under
    the whole text a model would learn to leave words out. If `warn` is given, it is called with the message
    about a file that is cut off, and what is there is returned.

    A file counts as cut off when its header announces more than it holds (wav, flac, aiff, mp4); the other
    containers announce nothing. At most `MAX_DAMAGED` of the packets may be damaged; they are left out.
    """
    name = name or (str(source) if isinstance(source, Path) else "audio")
    try:
        with _opened(source, name) as file:
            return _decode(file, name, max_s, admit, warn or _refuse)
    except AudioError:
        raise
    except (av.error.FFmpegError, IndexError, ValueError) as e:
        reason = getattr(e, "strerror", None) or str(e) or type(e).__name__
        raise AudioError(
            f"{name}: expected audio (wav, flac, mp3, ogg, webm, mp4), got a file that cannot be decoded "
            f"({reason})."
        ) from e
    except OSError as e:
        raise AudioError(f"{name}: expected an audio file, got none that can be read ({e.strerror}).") from e


def _refuse(message: str) -> None:
    raise AudioError(message)


def _opened(source: bytes | Path | BinaryIO, name: str) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not isinstance(source, Path):
        return nullcontext(source)
    if source.exists() and not source.is_file():  # a folder; or a pipe, which would be waited for
        raise AudioError(f"{name}: expected an audio file, got a folder, pipe or device.")
    return source.open("rb")


def _decode(
    file: BinaryIO,
    name: str,
    max_s: float,
    admit: Callable[[int], None] | None,
    incomplete: Callable[[str], None],
) -> Pcm:
    """Decode an open file; `incomplete` is called with a message where it is cut off."""
    held_bytes = file.seek(0, io.SEEK_END)
    if held_bytes == 0:
        raise AudioError(f"{name}: expected audio, got an empty file.")
    if missing := _missing_wave_bytes(file, held_bytes):
        incomplete(f"{name}: expected {missing} more bytes of audio by its header; the file is cut off.")
    file.seek(0)
    with av.open(file, "r", options=SAFE_OPTIONS, metadata_errors="ignore") as container:
        pcm = _collected(blocks(container, name), name, max_s, admit)
        announced_s = _announced_s(container)
    if len(pcm) / SAMPLE_RATE < announced_s - CUT_OFF_S:
        incomplete(
            f"{name}: expected {announced_s:.2f} s of audio by its header, got "
            f"{len(pcm) / SAMPLE_RATE:.2f} s; the file is cut off or damaged."
        )
    return pcm


def _collected(
    blocks_of_pcm: Iterator[Pcm], name: str, max_s: float, admit: Callable[[int], None] | None
) -> Pcm:
    held = bytearray()  # an hour of Opus takes 116 MB so; as a list of its blocks, joined at the end, 279
    for block in blocks_of_pcm:
        if len(held) + block.nbytes > max_s * SAMPLE_RATE * block.itemsize:
            raise AudioError(f"{name}: expected at most {max_s:g} s, got more; split it.")
        if admit:
            admit(len(block))
        held += block.data
    if not held:
        raise AudioError(f"{name}: expected audio, got a file without samples.")
    return np.frombuffer(held, dtype=np.int16)


def _missing_wave_bytes(file: BinaryIO, held_bytes: int) -> int:
    """Return how many bytes of audio a RIFF/WAVE header announces that are not there.

    FFmpeg does not report this. A file that lacks no more than `MISCOUNTED_BYTES` is whole.
    """
    try:
        header = riff.read_header(file)
    except AudioError:
        return 0  # left to FFmpeg
    if header is None or header.data_bytes is None:
        return 0
    missing = header.data_start + header.data_bytes - held_bytes
    return missing if missing > MISCOUNTED_BYTES else 0


def _announced_s(container: av.container.InputContainer) -> float:
    """Return the seconds that the header announces; 0 if it announces nothing."""
    stream = container.streams.audio[0]
    if container.format.name.split(",")[0] not in _WITH_LENGTH or not stream.duration or not stream.time_base:
        return 0.0
    return float(stream.duration * stream.time_base)


def blocks(container: av.container.InputContainer, name: str) -> Iterator[Pcm]:
    """Yield the first audio stream of an open container as 16 kHz mono int16, packet by packet.

    Its format may change on the way. Raises AudioError, naming `name`, where there is no audio stream, or too
    much of it is damaged.
    """
    if not container.streams.audio:
        raise AudioError(f"{name}: expected an audio stream, got none.")
    resampler: MonoResampler | None = None
    for frame in _frames(container, name):
        if frame.sample_rate < MIN_RATE:
            raise AudioError(f"{name}: expected {MIN_RATE} Hz or more, got {frame.sample_rate} Hz.")
        if resampler is None or not resampler.fits(frame):
            yield from resampler.flush() if resampler else ()
            resampler = MonoResampler(frame)
        yield from resampler.resample(frame)
    yield from resampler.flush() if resampler else ()


def _frames(container: av.container.InputContainer, name: str) -> Iterator[av.AudioFrame]:
    """Yield the first audio stream's frames; packets that do not decode are left out."""
    packets = damaged = 0
    for packet in container.demux(container.streams.audio[0]):
        packets += 1
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            damaged += 1
            continue
        yield from (frame for frame in frames if isinstance(frame, av.AudioFrame))
    if damaged > max(1, MAX_DAMAGED * packets):
        raise AudioError(
            f"{name}: expected audio, got {damaged} damaged packets of {packets}; write the file again."
        )
