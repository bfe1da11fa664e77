"""Small files that decode to days."""

import struct

_RATE, _BLOCK = 4_000, 65_535  # the slowest that is taken, and the longest block that there is


def silent_flac(seconds: float) -> bytes:
    """`seconds` of silence in one byte a second: constant blocks, and a length that is not told."""
    bits = _RATE << 44 | 15 << 36  # Hz, one channel, 16 bits a sample, no number of samples
    info = struct.pack(">HH6xQ16x", _BLOCK, _BLOCK, bits)
    frames = (_frame(number) for number in range(round(seconds * _RATE) // _BLOCK + 1))
    return b"fLaC" + struct.pack(">I", 0x80 << 24 | len(info)) + info + b"".join(frames)


def _frame(number: int) -> bytes:
    """Of RFC 9639, section 9: a header that says rate and length, one constant subframe of 0."""
    head = b"\xff\xf8\x7c\x08" + chr(number).encode() + struct.pack(">HB", _BLOCK - 1, _RATE // 1_000)
    whole = head + bytes([_crc(head, 0x07, 8)]) + bytes(3)
    return whole + struct.pack(">H", _crc(whole, 0x8005, 16))


def _crc(data: bytes, polynomial: int, width: int) -> int:
    crc, top = 0, 1 << width - 1
    for byte in data:
        crc ^= byte << width - 8
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc & top else crc << 1) & (top * 2 - 1)
    return crc
