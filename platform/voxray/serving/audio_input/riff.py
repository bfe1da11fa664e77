"""The header of a RIFF/WAVE file at the start of a stream, so that it is not played as noise.

RIFF <size> WAVE   then chunks: <id> <size> <body, padded to an even length>, of which `fmt ` says what
the audio is, and `data` is the audio; behind it there may be chunks of text and pictures. Sizes are often
unknown (0 or 0xFFFFFFFF, as pipes write them).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from voxray.errors import AudioError
from voxray.serving.audio_input.pcm import Format
from voxray.wire import WIDTHS, Encoding

MAGIC_BYTES = 12  # RIFF, its size, WAVE: with these it is a header, and no audio
MAX_HEADER = 64 * 1024  # bytes before the audio
MIN_RATE, MAX_RATE, MAX_CHANNELS = 4_000, 384_000, 32  # as `start` allows

_UNKNOWN_SIZE = 0x7FFF_0000  # at or over this, the writer did not know the length
_ENCODINGS: dict[tuple[int, int], Encoding] = {(1, 16): "pcm_s16le", (3, 32): "pcm_f32le"}  # by tag and bits
_EXTENSIBLE = 0xFFFE  # the tag follows as the first two bytes of a GUID that ends so:
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says: `length` bytes of it come before the audio, of which there are `audio_bytes` (None:
    up to the end of the stream).
    """

    form: Format
    length: int
    audio_bytes: int | None


def may_begin(head: bytes | bytearray) -> bool:
    """Whether `head`, the start of a stream, can be the start of a RIFF/WAVE header."""
    return b"RIFF".startswith(head[:4]) and b"WAVE".startswith(head[8:12])


def parse_header(head: bytes) -> Header | None:
    """The header that `head` begins with; None where more of it has to come.

    Raises AudioError for audio that is not PCM as `start` could name it, or where no audio begins within
    `MAX_HEADER` bytes.
    """
    form: Format | None = None
    for name, at, size in _chunks(head):
        if at > MAX_HEADER or (name != b"data" and at + size > MAX_HEADER):
            raise AudioError(
                f"WAV header: expected its data within {MAX_HEADER} bytes, and {_shown(name)} goes on."
            )
        if name == b"data":
            if form is None:
                raise AudioError("WAV header: expected fmt before data, and it is not there; write it again.")
            return Header(form, at, size if 0 < size < _UNKNOWN_SIZE else None)
        if name == b"fmt " and len(head) >= at + size:
            form = _format(head[at : at + size])
    return None


def _chunks(head: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and size of the bodies of the chunks that have begun."""
    at = MAGIC_BYTES
    while len(head) >= at + 8:
        name, size = struct.unpack_from("<4sI", head, at)
        yield name, at + 8, size
        at += 8 + size + size % 2


def _format(body: bytes) -> Format:
    if len(body) < 16:
        raise AudioError(f"WAV header: expected 16 bytes or more of fmt, and it has {len(body)}.")
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and body[26:40] == _GUID_TAIL:
        (tag,) = struct.unpack_from("<H", body, 24)
    encoding = _ENCODINGS.get((tag, bits))
    if encoding is None or block != WIDTHS[encoding] * channels:
        raise AudioError(
            f"WAV header: expected PCM of 16 bits or float of 32, and format {tag} of {bits} bits in frames "
            f"of {block} bytes came; convert it, or send it as a container."
        )
    if not (1 <= channels <= MAX_CHANNELS and MIN_RATE <= rate <= MAX_RATE):
        raise AudioError(
            f"WAV header: expected 1 to {MAX_CHANNELS} channels at {MIN_RATE} to {MAX_RATE} Hz, and "
            f"{channels} at {rate} Hz came."
        )
    return Format(encoding, channels, rate)


def _shown(name: bytes) -> str:
    return repr(name.decode("ascii", "backslashreplace"))
