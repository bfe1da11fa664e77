"""Audio in: any container in `containers`, codec, rate and channel count becomes 16 kHz mono int16.

FFmpeg (through PyAV) is given an open file, only the containers that are named there, and no protocol, so
that a playlist dressed as audio cannot make it read other files or URLs.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import av.audio.stream
import av.container
import av.error
import numpy as np

from voxray.audio import riff
from voxray.audio.announced import announced_s, has_holes, missing_bytes
from voxray.audio.constants import MAX_HOLE_S, SAMPLE_RATE
from voxray.audio.containers import SAFE_OPTIONS
from voxray.audio.demuxing import blocks, reject
from voxray.audio.pcm import Block, Pcm
from voxray.audio.selection import DEFAULT_TRACK, Selection, audio_stream
from voxray.errors import AudioError

MAX_DECODED_S = 4 * 3600.0
CUT_OFF_S = 0.25  # codecs' own delay and padding stay below this


def decode(
    source: bytes | Path | BinaryIO,
    *,
    name: str = "",
    max_s: float = MAX_DECODED_S,
    admit: Callable[[int], None] | None = None,
    warn: Callable[[str], None] | None = None,
    selection: Selection = DEFAULT_TRACK,
) -> Pcm:
    """Return all of `source` as 16 kHz mono int16, with silence in its holes.

    `admit` is called with the number of samples before they are kept; what it raises ends the decoding.

    Raises AudioError as `decode_chunks` does, and for more than `max_s` seconds.
    """
    name = _name(source, name)
    held = bytearray()  # an hour of Opus takes 116 MB so; as a list of its chunks, joined at the end, 279
    for pcm in decode_chunks(source, name=name, warn=warn, selection=selection):
        if len(held) + 2 * len(pcm) > 2 * max_s * SAMPLE_RATE:
            raise AudioError(f"{name}: expected at most {max_s:g} s, got more; split it.")
        if admit:
            admit(len(pcm))
        held += pcm.data
    return np.frombuffer(held, dtype=np.int16)


def decode_chunks(
    source: bytes | Path | BinaryIO,
    *,
    name: str = "",
    warn: Callable[[str], None] | None = None,
    selection: Selection = DEFAULT_TRACK,
) -> Iterator[Pcm]:
    """Yield `source` as 16 kHz mono int16 in bounded memory, with silence in its holes.

    Raises AudioError as `decode_blocks` does, and for a hole of more than `MAX_HOLE_S`; if `warn` is given,
    it is called with the message about that, and the hole is shortened.
    """
    name = _name(source, name)
    end = 0
    for block in decode_blocks(source, name=name, warn=warn, selection=selection):
        if hole := _bounded(block.start - end, end, name, warn or reject):
            yield np.zeros(hole, dtype=np.int16)
        yield block.pcm
        end = block.end


def decode_blocks(
    source: bytes | Path | BinaryIO,
    *,
    name: str = "",
    warn: Callable[[str], None] | None = None,
    selection: Selection = DEFAULT_TRACK,
) -> Iterator[Block]:
    """Yield `source` as blocks of 16 kHz mono int16, in bounded memory; see `Block` for holes.

    An open file is read from its start, and left open.

    Raises AudioError, naming `name` (default: the path), when the file cannot be read, is not audio in one
    of `CONTAINERS`, holds no samples, or is cut off: with half a recording under the whole text a model would
    learn to leave words out. If `warn` is given, it is called with the message about a file that is cut off
    or damaged, and what is there is yielded.

    A file counts as cut off when its header announces more than it holds (see `announced`). MP3 and WavPack
    without a count, AAC, AC-3, AMR, Ogg, MPEG streams, and Matroska and FLV with video announce nothing that
    can be checked. It counts as damaged when more than `MAX_DAMAGED`
    of its packets do not decode; they are left out.
    """
    name = _name(source, name)
    with _audio_errors(name), _opened(source, name) as file:
        yield from _decoded(file, name, warn or reject, selection)


def channel_count(source: bytes | Path | BinaryIO, *, name: str = "", track: int | None = None) -> int:
    """Return how many channels a track begins with. Raises AudioError as `decode_blocks` does."""
    name = _name(source, name)
    with _audio_errors(name), _opened(source, name) as file, _container(file, name) as container:
        return audio_stream(container, track, name).codec_context.layout.nb_channels


def probable_s(file: Path, *, multichannel: bool = False) -> float:
    """Return how many seconds a file lasts as FFmpeg reads its header; 0 where it cannot tell.

    `multichannel`: those of all channels of the default track together.
    """
    try:
        with _opened(file, "") as source, _container(source, "") as container:
            layout = audio_stream(container, None, "").codec_context.layout
            return (container.duration or 0) / av.time_base * (layout.nb_channels if multichannel else 1)
    except (AudioError, av.error.FFmpegError, IndexError, ValueError, OSError):
        return 0.0


def _name(source: bytes | Path | BinaryIO, name: str) -> str:
    return name or (str(source) if isinstance(source, Path) else "audio")


@contextmanager
def _audio_errors(name: str) -> Iterator[None]:
    """Raise the errors of FFmpeg and of the file system as AudioError."""
    try:
        yield
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


def _bounded(hole: int, at: int, name: str, warn: Callable[[str], None]) -> int:
    """Return the samples of silence for a hole at sample `at`; `warn` is called where it is longer."""
    longest = round(MAX_HOLE_S * SAMPLE_RATE)
    if hole > longest:
        warn(
            f"{name}: expected holes of at most {MAX_HOLE_S:g} s, got one of {hole / SAMPLE_RATE:.2f} s at "
            f"{at / SAMPLE_RATE:.2f} s; it is shortened."
        )
    return min(hole, longest)


def _opened(source: bytes | Path | BinaryIO, name: str) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not isinstance(source, Path):
        return nullcontext(source)
    if source.exists() and not source.is_file():  # a folder; or a pipe, which would be waited for
        raise AudioError(f"{name}: expected an audio file, got a folder, pipe or device.")
    return source.open("rb")


def _container(file: BinaryIO, name: str) -> av.container.InputContainer:
    if file.seek(0, io.SEEK_END) == 0:
        raise AudioError(f"{name}: expected audio, got an empty file.")
    file.seek(0)
    try:
        return _ffmpeg(file)
    except av.error.InvalidDataError:
        wave = riff.repaired(file)
        if wave is None:
            raise
        return _ffmpeg(wave)


def _ffmpeg(file: BinaryIO) -> av.container.InputContainer:
    return av.open(file, "r", options=SAFE_OPTIONS, metadata_errors="ignore")


def _decoded(
    file: BinaryIO, name: str, incomplete: Callable[[str], None], selection: Selection
) -> Iterator[Block]:
    """Decode an open file; `incomplete` is called with a message where it is cut off."""
    if missing := missing_bytes(file):
        incomplete(f"{name}: expected {missing} more bytes of audio by its header; the file is cut off.")
    with _container(file, name) as container:
        held = _Extent()
        for block in blocks(container, name, selection, incomplete):
            held.add(block)
            yield block
        expected_s = announced_s(file, container, audio_stream(container, selection.track, name))
        decoded_s = held.span_s if has_holes(container) else held.samples / SAMPLE_RATE
    if not held.samples:
        raise AudioError(f"{name}: expected audio, got a file without samples.")
    if decoded_s < expected_s - CUT_OFF_S:
        incomplete(
            f"{name}: expected {expected_s:.2f} s of audio by its header, got {decoded_s:.2f} s; the file "
            "is cut off or damaged."
        )


@dataclass(slots=True)
class _Extent:
    """How much of a recording was decoded, without and with its holes."""

    samples: int = 0
    start: int = 0
    end: int = 0

    def add(self, block: Block) -> None:
        if not self.samples:
            self.start = block.start
        self.samples += len(block.pcm)
        self.end = block.end

    @property
    def span_s(self) -> float:
        return (self.end - self.start) / SAMPLE_RATE
