import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.audio.riff import WaveFormat, may_begin, parse_header, read_header
from voxray.errors import AudioError

GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + bytes(len(body) % 2)


def fmt(
    tag: int = 1, channels: int = 2, rate: int = 44_100, bits: int = 16, *, frame_bytes: int = 0
) -> bytes:
    frame_bytes = frame_bytes or channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate, rate * frame_bytes, frame_bytes, bits)


def wave(*chunks: bytes) -> bytes:
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks))


ODD = chunk(b"LIST", b"INFO!")
EXTENSIBLE = fmt(0xFFFE, bits=32) + struct.pack("<HHIH", 22, 32, 3, 3) + GUID_TAIL


@pytest.mark.parametrize(
    ("chunks", "tag", "encoding"),
    [
        ([chunk(b"fmt ", fmt())], 1, "pcm_s16le"),
        ([ODD, chunk(b"fmt ", fmt()), ODD], 1, "pcm_s16le"),
        ([chunk(b"fmt ", fmt(3, bits=32) + bytes(2))], 3, "pcm_f32le"),
        ([chunk(b"fmt ", EXTENSIBLE)], 3, "pcm_f32le"),
        ([chunk(b"fmt ", fmt(7, bits=8))], 7, None),
        ([chunk(b"fmt ", fmt(1, bits=24))], 1, None),
        ([chunk(b"fmt ", fmt(frame_bytes=8))], 1, None),
        ([chunk(b"fmt ", fmt(0xFFFE))], 0xFFFE, None),
    ],
)
def test_a_header_gives_what_the_audio_is_and_where(
    chunks: list[bytes], tag: int, encoding: str | None
) -> None:
    whole = wave(*chunks, chunk(b"data", bytes(100)), ODD)
    header = read_header(io.BytesIO(whole))

    assert header
    assert (header.format.tag, header.format.encoding) == (tag, encoding)
    assert (header.format.channels, header.format.rate) == (2, 44_100)
    assert whole[header.data_start - 8 : header.data_start] == b"data" + struct.pack("<I", 100)
    assert header.data_bytes == 100


@given(st.integers(0, 300))
def test_a_stream_has_its_header_once_all_of_it_is_there(count: int) -> None:
    whole = wave(ODD, chunk(b"fmt ", fmt()), chunk(b"junk", bytes(77)), chunk(b"data", bytes(200)))
    header = parse_header(whole[:count], 1_000)

    assert header == (read_header(io.BytesIO(whole)) if count >= whole.index(b"data") + 8 else None)


@pytest.mark.parametrize("size", [0, 0x7FFF_0000, 0xFFFF_FFFF])
def test_an_unknown_length_is_none(size: int) -> None:
    header = read_header(io.BytesIO(wave(chunk(b"fmt ", fmt()), chunk(b"data", b"", size))))

    assert header
    assert header.data_bytes is None
    assert header.format == WaveFormat(1, 2, 44_100, 4, 16)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"OggS" + bytes(100), b"RIFF1234AVI LIST" + bytes(100)])
def test_what_is_no_wave_has_no_header(content: bytes) -> None:
    assert read_header(io.BytesIO(content)) is None
    assert may_begin(content) is (content in (b"", b"RIFF"))


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([chunk(b"data", bytes(8))], "expected fmt before data, got none"),
        ([chunk(b"fmt ", fmt()[:14])], "expected 16 bytes or more of fmt, got 14"),
        ([chunk(b"fmt ", fmt()), chunk(b"bext", bytes(500))], "within 400 bytes, got a longer 'bext' chunk"),
        ([chunk(b"fmt ", fmt()), chunk(b"b\xffxt", b"", 500)], r"got a longer 'b\\\\xffxt' chunk"),
    ],
)
def test_a_header_without_audio_is_refused(chunks: list[bytes], message: str) -> None:
    with pytest.raises(AudioError, match=rf"^WAV header: .*{message}"):
        parse_header(wave(*chunks), 400)
