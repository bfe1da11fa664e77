"""What files may use of one gateway: slots for uploads and decoding, and memory for their audio."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from voxray.audio import SAMPLE_RATE
from voxray.serving.api_error import ApiError


class Slots:
    """A number of slots for `items`, which are given or refused at once. For one event loop."""

    def __init__(self, count: int, items: str) -> None:
        self._count, self._items = count, items
        self._used = 0

    def check(self) -> None:
        """Raise ApiError 429 where no slot is free."""
        if self._used >= self._count:
            raise _busy(f"expected at most {self._count} {self._items} at once, got one more")

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Use a slot for the duration of the block; ApiError 429 where none is free."""
        self.check()
        self._used += 1
        try:
            yield
        finally:
            self._used -= 1


class MemoryBudget:
    """Memory for `seconds` of decoded audio of all files together. Thread-safe."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._free = seconds * SAMPLE_RATE
        self._lock = threading.Lock()

    @contextmanager
    def share(self) -> Iterator["MemoryShare"]:
        """Give one file a share, empty at first, for the duration of the block."""
        share = MemoryShare(self)
        try:
            yield share
        finally:
            share.close()

    def reserve(self, samples: int) -> None:
        """Reserve memory, or release it for a negative number; ApiError 429 where too little is free."""
        with self._lock:
            if samples > self._free:
                raise _busy(
                    f"file: expected at most {self._seconds:g} s of audio in all files at once, got more "
                    "with this one"
                )
            self._free -= samples


class MemoryShare:
    """The part of a budget that one file uses. It grows with decoding: before it, no length is known."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._reserved = 0
        self._closed = False
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """The audio that was decoded so far."""
        return self._reserved / SAMPLE_RATE

    def grow(self, samples: int) -> None:
        """Reserve more; ApiError 429 where too little is free, or when the request has ended."""
        with self._lock:
            if self._closed:
                raise _busy("file: expected its request to be open, got a closed one")
            self._budget.reserve(samples)
            self._reserved += samples

    def close(self) -> None:
        """Release all of it; it cannot grow any more."""
        with self._lock:
            self._budget.reserve(-self._reserved)
            self._reserved, self._closed = 0, True


def _busy(message: str) -> ApiError:
    return ApiError(429, f"{message}; try again soon.", code="rate_limit_exceeded")
