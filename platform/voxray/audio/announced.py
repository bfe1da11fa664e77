"""How much audio a file announces, for files that are cut off: FFmpeg decodes what is there without an error.

Of most containers with a length FFmpeg gives the header's (`announced_s`). Of those in `_AUDIO_ENDS` it gives
what the file's size allows; where their audio should end is read from the file itself (`missing_bytes`).
"""

import io
import struct
from collections.abc import Callable
from typing import BinaryIO
from uuid import UUID

import av.audio.stream
import av.container

from voxray.audio import riff
from voxray.audio.containers import MAY_HAVE_HOLES, WITH_LENGTH
from voxray.errors import AudioError

MISCOUNTED_BYTES = 128  # some writers of WAV count its header, or a part of it, as audio
_UNKNOWN_SIZE = 0xFFFF_0000  # of 32 bits, at or over this; 0 is unknown too
_VBR_TAG_BYTES = 4_096  # the first frame of an MP3 ends within these
_W64_DATA = UUID("61746164-acf3-11d3-8cd1-00c04f8edb8a").bytes_le
_ASF_DATA = UUID("75b22636-668e-11cf-a6d9-00aa0062ce6c").bytes_le


def missing_bytes(file: BinaryIO) -> int:
    """Return how many bytes of audio the header of a file announces that are not there; 0 if none is known.

    A file that lacks no more than `MISCOUNTED_BYTES` is whole.
    """
    held_bytes = file.seek(0, io.SEEK_END)
    head = _read(file, 0, 16)
    audio_end = next((find(file) for magic, find in _AUDIO_ENDS.items() if head.startswith(magic)), None)
    missing = (audio_end or 0) - held_bytes
    return missing if missing > MISCOUNTED_BYTES else 0


def announced_s(
    file: BinaryIO, container: av.container.InputContainer, stream: av.audio.stream.AudioStream
) -> float:
    """Return the seconds of `stream` that the header of `file` announces; 0 if it announces nothing."""
    form = container_name(container)
    if form in ("matroska", "flv") and len(container.streams) == 1 and container.duration:
        return (container.duration - (container.start_time or 0)) / 1_000_000  # AV_TIME_BASE
    if form == "caf":  # its duration is counted from the bytes that are there
        return stream.frames / stream.codec_context.sample_rate
    duration_s = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    if form == "mp3":  # its duration is estimated where there is no count, or more after the counted frames
        counted = _mp3_frames(file) * (stream.codec_context.frame_size or 0)
        return min(duration_s, counted / stream.codec_context.sample_rate)
    return duration_s if form in WITH_LENGTH else 0.0


def container_name(container: av.container.InputContainer) -> str:
    """Return FFmpeg's name of a container, the first where one demuxer has several."""
    return container.format.name.split(",")[0]


def has_holes(container: av.container.InputContainer) -> bool:
    """Return whether holes in the audio of `container` are part of the length that it announces."""
    return container_name(container) in MAY_HAVE_HOLES


def _riff_end(file: BinaryIO) -> int | None:
    if _read(file, 8, 4) == b"AVI ":
        return _avi_end(file)
    try:
        header = riff.read_header(file)
    except AudioError:
        return None  # left to FFmpeg
    return header.data_start + header.data_bytes if header and header.data_bytes else None


def _avi_end(file: BinaryIO) -> int | None:
    """Return the end of the last list of packets (`movi`), of which a file over 1 GB has several."""
    at, end = 0, None
    while len(head := _read(file, at, 12)) == 12:
        name, size, kind = struct.unpack("<4sI4s", head)
        if name == b"RIFF":
            at += 12
            continue
        if not 0 < size < _UNKNOWN_SIZE:
            return None
        at += 8 + size + size % 2
        if kind == b"movi":
            end = at
    return end


def _w64_end(file: BinaryIO) -> int | None:
    at = 40  # after the GUID of RIFF, the file's size and the GUID of WAVE
    while len(head := _read(file, at, 24)) == 24:
        size = int.from_bytes(head[16:], "little")  # of the chunk with these 24 bytes
        if size < 24:
            return None
        if head.startswith(_W64_DATA):
            return at + size if size < riff.UNKNOWN_SIZE_64 else None
        at += size + -size % 8
    return None


def _voc_end(file: BinaryIO) -> int | None:
    """Return the end of the blocks: each has a type, and three bytes of its size; type 0 ends the file."""
    at = int.from_bytes(_read(file, 20, 2), "little")
    while (head := _read(file, at, 4))[:1] > b"\0":
        at += 4 + int.from_bytes(head[1:], "little")
    return at


def _asf_end(file: BinaryIO) -> int | None:
    header_bytes = int.from_bytes(_read(file, 16, 8), "little")
    head = _read(file, header_bytes, 24)
    size = int.from_bytes(head[16:], "little")  # 0 in a broadcast
    return header_bytes + size if head.startswith(_ASF_DATA) and size else None


_AUDIO_ENDS: dict[bytes, Callable[[BinaryIO], int | None]] = {
    b"RIFF": _riff_end,
    b"RF64": _riff_end,
    b"BW64": _riff_end,
    UUID("66666972-912e-11cf-a5d6-28db04c10000").bytes_le: _w64_end,
    b"Creative Voice F": _voc_end,
    UUID("75b22630-668e-11cf-a6d9-00aa0062ce6c").bytes_le: _asf_end,
}
"""By the first bytes of a file: what returns the byte after its audio, or None where no length is given."""


def _mp3_frames(file: BinaryIO) -> int:
    """Return the number of frames in the tag of an MP3's first frame (Xing, Info or VBRI); 0 without one."""
    at = 0
    while (head := _read(file, at, 10)).startswith(b"ID3") and len(head) == 10:
        at += 10 + sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(head[6:]))
    first = _read(file, at, _VBR_TAG_BYTES)
    for name, offset in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        tag = first[first.find(name) :] if name in first else b""
        if len(tag) >= offset + 4 and (name == b"VBRI" or tag[7] & 1):
            return int.from_bytes(tag[offset : offset + 4], "big")
    return 0


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    """Return up to `count` bytes from byte `at` on: fewer at the end of the file."""
    file.seek(min(at, 1 << 62))
    return file.read(count)
