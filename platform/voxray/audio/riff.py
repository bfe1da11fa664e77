"""The header of a RIFF/WAVE file, read from a file or from the beginning of a stream.

    RIFF <size> WAVE, then chunks: <id> <size> <body, padded to an even length>

The chunk `fmt ` describes the audio, and `data` is the audio; text and pictures may stand before and after
it. Sizes are often unknown (0 or 0xFFFFFFFF, as pipes write them) or a little too large, so that the size of
the whole file is never looked at. RF64 and BW64 have the size of `data` in a chunk `ds64`, in 64 bits (EBU
Tech 3306, ITU-R BS.2088).
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, cast

from voxray.errors import AudioError

MAGIC_BYTES = 12  # RIFF, its size, WAVE: with these it is a header, and no audio

UNKNOWN_SIZE = 0xFFFF_FFFF
UNKNOWN_SIZE_64 = 1 << 62  # at or over this, in a field of 64 bits
_UNKNOWN_SIZE = 0x7FFF_0000  # at or over this, the writer did not know the length
_ENCODINGS: dict[tuple[int, int], Literal["pcm_s16le", "pcm_f32le"]] = {
    (1, 16): "pcm_s16le",
    (3, 32): "pcm_f32le",
}
"""By format tag and bits per sample."""
_IDS = (b"RIFF", b"RF64", b"BW64")
_EXTENSIBLE = 0xFFFE  # the tag then follows as the first two bytes of a GUID that ends so:
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_FMT_BYTES = 40  # of `fmt ` that are of use


@dataclass(frozen=True, slots=True)
class WaveFormat:
    """The `fmt ` chunk: format tag, channels, frames per second, bytes per frame and bits per sample."""

    tag: int
    channels: int
    rate: int
    frame_bytes: int
    bits: int

    @property
    def encoding(self) -> Literal["pcm_s16le", "pcm_f32le"] | None:
        """The encoding by FFmpeg's name, if it is 16-bit PCM or 32-bit float in tightly packed frames."""
        packed = self.frame_bytes == self.channels * self.bits // 8
        return _ENCODINGS.get((self.tag, self.bits)) if packed else None


@dataclass(frozen=True, slots=True)
class WaveHeader:
    """What stands before the audio: its format, its first byte, and its length (None: to the end of file)."""

    format: WaveFormat
    data_start: int
    data_bytes: int | None


def may_begin(head: bytes | bytearray) -> bool:
    """Return whether `head`, the start of a stream, can be the start of a RIFF/WAVE header."""
    return b"RIFF".startswith(head[:4]) and b"WAVE".startswith(head[8:12])


def parse_header(head: bytes, max_bytes: int) -> WaveHeader | None:
    """Return the header at the start of `head`; None if more bytes are needed, or it is not RIFF/WAVE.

    Raises AudioError as `read_header` does, and where no audio begins within `max_bytes`.
    """
    return read_header(io.BytesIO(head), max_bytes)


def read_header(file: BinaryIO, max_bytes: int | None = None) -> WaveHeader | None:
    """Return the header of a file that can seek; None if it ends before `data`, or is not RIFF/WAVE or RF64.

    Raises AudioError where `fmt ` is missing or too short, or no audio begins within `max_bytes`.
    """
    file.seek(0)
    magic = file.read(MAGIC_BYTES)
    if magic[:4] not in _IDS or magic[8:] != b"WAVE":
        return None
    form: WaveFormat | None = None
    data_bytes: int | None = None
    for name, start, size in _chunks(file):
        if max_bytes is not None and start + (0 if name == b"data" else size) > max_bytes:
            raise AudioError(
                f"WAV header: expected its data within {max_bytes} bytes, got a longer "
                f"{name.decode('ascii', 'backslashreplace')!r} chunk."
            )
        if name == b"data":
            if form is None:
                raise AudioError("WAV header: expected fmt before data, got none; write the file again.")
            return WaveHeader(form, start, size if 0 < size < _UNKNOWN_SIZE else data_bytes)
        if name == b"ds64":
            data_bytes = _data_bytes(file.read(16))
        if name == b"fmt ":
            body = file.read(min(size, _FMT_BYTES))
            if len(body) < min(size, _FMT_BYTES):
                return None
            form = _parse_format(body)
    return None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, start and size of each chunk's body, for those whose eight bytes are there."""
    at = MAGIC_BYTES
    while file.seek(at) == at and len(head := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        yield name, at + 8, size
        at += 8 + size
        at += size % 2 and not _is_unpadded(file, at)


def _is_unpadded(file: BinaryIO, at: int) -> bool:
    """Return whether a chunk begins at `at`, after one of odd length: some writers leave the padding out."""
    file.seek(at)
    return file.read(4) in (b"fmt ", b"data")


def repaired(file: BinaryIO) -> BinaryIO | None:
    """Return a WAV with the audio of `file` after a header that any reader takes.

    None if it is not RIFF/WAVE, or does not say what its audio is.
    """
    try:
        header = read_header(file)
    except AudioError:
        return None
    if header is None:
        return None
    form = header.format
    fmt = struct.pack(
        "<HHIIHH",
        form.tag,
        form.channels,
        form.rate,
        form.rate * form.frame_bytes,
        form.frame_bytes,
        form.bits,
    )
    size = min(header.data_bytes or UNKNOWN_SIZE, UNKNOWN_SIZE)
    head = (
        b"RIFF\xff\xff\xff\xffWAVEfmt "
        + struct.pack("<I", len(fmt))
        + fmt
        + struct.pack("<4sI", b"data", size)
    )
    return cast("BinaryIO", io.BufferedReader(_Spliced(head, file, header.data_start)))


class _Spliced(io.RawIOBase):
    """`head`, and after it `file` from byte `start` on."""

    def __init__(self, head: bytes, file: BinaryIO, start: int) -> None:
        self._head, self._file, self._start = head, file, start
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        end = self._file.seek(0, io.SEEK_END) - self._start + len(self._head)
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: end}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._head[self._at : self._at + len(buffer)]
        if not data:
            self._file.seek(self._at - len(self._head) + self._start)
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _data_bytes(ds64: bytes) -> int | None:
    """Return the size of `data` after the size of the file, None where the writer did not know it."""
    size = int.from_bytes(ds64[8:16], "little")
    return size if 0 < size < UNKNOWN_SIZE_64 else None


def _parse_format(body: bytes) -> WaveFormat:
    if len(body) < 16:
        raise AudioError(f"WAV header: expected 16 bytes or more of fmt, got {len(body)}.")
    tag, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and body[26:40] == _GUID_TAIL:
        (tag,) = struct.unpack_from("<H", body, 24)
    return WaveFormat(tag, channels, rate, frame_bytes, bits)
