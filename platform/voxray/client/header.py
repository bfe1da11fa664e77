"""The RIFF/WAVE header that a client may send before PCM: a new session that starts later never reads it."""

from voxray.audio.riff import parse_header
from voxray.errors import AudioError
from voxray.wire import WIDTHS, Start

MAX_BYTES = 4096  # kept of a stream's beginning; the audio mostly begins at byte 44
MAGIC = b"RIFF"


class StreamHeader:
    """Collects the beginning of a stream and compares a RIFF header there with what `start` says."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._head = b""

    def add(self, audio: bytes) -> None:
        """Add the next bytes of the stream, in pieces of any size."""
        room = MAX_BYTES - len(self._head)
        if room > 0 and (not self._head or self.found):
            self._head += audio[:room]

    @property
    def found(self) -> bool:
        """Whether there is a header, or may be once more of it has been added."""
        return bool(self._head) and self._head.startswith(MAGIC[: len(self._head)])

    @property
    def differs(self) -> bool:
        """Whether there is one that says, or may say, something else than `start`."""
        return self.found and self._start.encoding in WIDTHS and not self._agrees()

    def _agrees(self) -> bool:
        try:
            header = parse_header(self._head, MAX_BYTES)
        except AudioError:
            return False
        if header is None or header.data_start % self._start.frame_bytes:
            return False
        wave, start = header.format, self._start
        announced = wave.encoding, wave.channels, wave.rate
        return announced == (start.encoding, start.channels, start.sample_rate)
