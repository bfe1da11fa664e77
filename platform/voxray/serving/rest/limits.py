"""What files may take of one gateway: uploads on its disk, places, and audio in its memory."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from voxray.audio import SAMPLE_RATE
from voxray.serving.api_error import ApiError


class Places:
    """`count` of them, for `what`. Their callers share an event loop."""

    def __init__(self, count: int, what: str) -> None:
        self._count, self._what = count, what
        self._taken = 0

    def check(self) -> None:
        """ApiError 429 where none is free."""
        if self._taken >= self._count:
            raise _busy(f"expected at most {self._count} {self._what} at once, and one more came")

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of them; ApiError 429 where none is free."""
        self.check()
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class MemoryBudget:
    """Room for `seconds` of decoded audio of all files together. Threads share it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._room = seconds * SAMPLE_RATE
        self._changes = threading.Lock()

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """A share for one file, given back as a whole."""
        share = Share(self)
        try:
            yield share
        finally:
            share.close()

    def move(self, samples: int) -> None:
        """Take so many samples, or give back a negative number; ApiError 429 where others hold too much."""
        with self._changes:
            if samples > self._room:
                raise _busy(
                    f"file: expected at most {self._seconds:g} s of audio in all files at once, and with "
                    "this one there is more"
                )
            self._room -= samples


class Share:
    """What one file holds of a reserve. How long it is shows only while it is decoded, so that it grows."""

    def __init__(self, reserve: MemoryBudget) -> None:
        self._reserve = reserve
        self._held = 0
        self._closed = False
        self._changes = threading.Lock()

    def take(self, samples: int) -> None:
        """More of the file; ApiError 429 where there is no room, and once nobody waits for the file."""
        with self._changes:
            if self._closed:
                raise _busy("file: expected somebody to wait for it, and nobody does")
            self._reserve.move(samples)
            self._held += samples

    def close(self) -> None:
        """All of it is given back."""
        with self._changes:
            self._reserve.move(-self._held)
            self._held, self._closed = 0, True


def _busy(message: str) -> ApiError:
    return ApiError(429, f"{message}; ask again soon.", code="rate_limit_exceeded")
