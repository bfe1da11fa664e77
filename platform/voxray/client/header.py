"""The header of a RIFF/WAVE file, where a client sends one as it is: a new session would not hear it."""

import struct

from voxray.wire import WIDTHS, Encoding, Start

MAX_BYTES = 4096  # of a stream's first that are looked at; audio mostly begins at byte 44
MAGIC = b"RIFF"
MAGIC_BYTES = 12  # RIFF, its size, WAVE
EXTENSIBLE = 0xFFFE  # the format's tag then comes as the first two bytes of a GUID
GUID_AT = 24

_ENCODINGS: dict[tuple[int, int], Encoding] = {(1, 16): "pcm_s16le", (3, 32): "pcm_f32le"}  # by tag and bits


class Header:
    """What stands at the beginning of a stream that `start` describes, in pieces of any size."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._head = b""

    def add(self, audio: bytes) -> None:
        """The next bytes of the stream."""
        room = MAX_BYTES - len(self._head)
        if room > 0 and (not self._head or self.found):
            self._head += audio[:room]

    @property
    def found(self) -> bool:
        """Whether there is a header, or may be once more of it has come."""
        return bool(self._head) and self._head.startswith(MAGIC[: len(self._head)])

    @property
    def differs(self) -> bool:
        """Whether there is one that says, or may say, something else than `start`."""
        return self.found and self._start.encoding in WIDTHS and not self._agrees()

    def _agrees(self) -> bool:
        form, at = None, MAGIC_BYTES
        while at + 8 <= len(self._head):
            name, size = struct.unpack_from("<4sI", self._head, at)
            at += 8
            if name == b"data":
                asked = (self._start.encoding, self._start.channels, self._start.sample_rate)
                return form == asked and at % self._start.frame_bytes == 0
            if name == b"fmt ":
                form = _form(self._head[at : at + size])
            at += size + size % 2
        return False


def _form(body: bytes) -> tuple[Encoding | None, int, int] | None:
    """Encoding, channels and sample rate; None where it is cut off."""
    if len(body) < 16:
        return None
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if tag == EXTENSIBLE and len(body) >= GUID_AT + 2:
        (tag,) = struct.unpack_from("<H", body, GUID_AT)
    return _ENCODINGS.get((tag, bits)), channels, rate
