"""The audio of a session that may still be needed, by position."""

from collections import deque

import numpy as np

from voxray.audio.pcm import Pcm


class AudioBuffer:
    """Samples `start` to `end` of a recording that grows at its end and is dropped at its start."""

    def __init__(self, start: int = 0) -> None:
        self.start = self.end = start
        self._chunks: deque[Pcm] = deque()

    def append(self, pcm: Pcm) -> None:
        """Append a copy of `pcm`: a view would keep the array it was cut from in memory."""
        if len(pcm):
            self._chunks.append(np.array(pcm, dtype=np.int16))
            self.end += len(pcm)

    def drop_before(self, position: int) -> None:
        """Free the chunks that lie before `position`."""
        while self._chunks and self.start + len(self._chunks[0]) <= position:
            self.start += len(self._chunks.popleft())

    def read(self, start: int, end: int) -> Pcm:
        """Return samples `start` to `end`; raise ValueError if they are not all here."""
        if not self.start <= start <= end <= self.end:
            raise ValueError(f"expected samples within {self.start} to {self.end}, got {start} to {end}.")
        pieces, at = [np.empty(0, dtype=np.int16)], self.start
        for chunk in self._chunks:
            pieces.append(chunk[max(0, start - at) : max(0, end - at)])
            at += len(chunk)
        return np.concatenate(pieces)
