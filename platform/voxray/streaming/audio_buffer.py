"""The audio of a session that is still needed, by position."""

from collections import deque
from typing import Any

import numpy as np

Pcm = np.ndarray[Any, np.dtype[np.int16]]  # mono, 16 kHz


class AudioBuffer:
    """Samples `start` to `end` of a recording that grows at its end and is dropped at its start."""

    def __init__(self, start: int = 0) -> None:
        self.start = self.end = start
        self._chunks: deque[Pcm] = deque()

    @property
    def held(self) -> int:
        """How many samples are in memory."""
        return sum(map(len, self._chunks))

    def append(self, pcm: Pcm) -> None:
        """`pcm` at the end, copied: a view would keep what it was cut from alive."""
        if len(pcm):
            self._chunks.append(np.array(pcm, dtype=np.int16))
            self.end += len(pcm)

    def drop_before(self, position: int) -> None:
        """Free what lies before `position`, as far as whole chunks do."""
        while self._chunks and self.start + len(self._chunks[0]) <= position:
            self.start += len(self._chunks.popleft())

    def read(self, start: int, end: int) -> Pcm:
        """Samples `start` to `end`; ValueError where they were dropped or have not come."""
        if not self.start <= start <= end <= self.end:
            raise ValueError(
                f"expected samples within {self.start} to {self.end}, and {start} to {end} came."
            )
        pieces, at = [np.empty(0, dtype=np.int16)], self.start
        for chunk in self._chunks:
            pieces.append(chunk[max(0, start - at) : max(0, end - at)])
            at += len(chunk)
        return np.concatenate(pieces)
