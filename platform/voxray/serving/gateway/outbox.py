"""What one client is still to be sent, bounded, whatever the client does.

A client that reads slowly is first spared the partials: each is only a better version of the one before. One
that does not read at all is closed. Under Ray Serve only a plain uvicorn pushes back; a Serve proxy takes
all that it is given, at the rate at which a session has something to say.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from voxray.serving.gateway.metrics import MESSAGES_OUT, PARTIALS_DROPPED, Metrics
from voxray.wire import Close

SPARE = 1 << 16  # characters that may wait before partials are dropped
FULL = 1 << 20  # before the client counts as gone
_PARTIAL = '{"type": "partial"'  # as wire.render begins one; nothing here is worth parsing it again


@dataclass(frozen=True, slots=True)
class Closing:
    """The last thing that a client is sent."""

    code: Close
    reason: str = ""


class Outbox:
    """Messages in order, then a closing."""

    def __init__(self, watch: Metrics, spare: int = SPARE, full: int = FULL) -> None:
        self.ended = asyncio.Event()
        self.full = full
        self._watch = watch
        self._spare = spare
        self._waiting = deque[str]()
        self._size = 0
        self._closing: Closing | None = None
        self._something = asyncio.Event()

    @property
    def size(self) -> int:
        """Characters that wait."""
        return self._size

    def admit(self, messages: tuple[str, ...]) -> None:
        """Put `messages` whatever their size: the finals of hours may be what a client lacks."""
        size = sum(map(len, messages))
        self.full, self._spare = self.full + size, self._spare + size
        for message in messages:
            self.put(message)

    def put(self, message: str) -> bool:
        """Put `message` last; False where the client has left too much unread, and this is not kept."""
        if self._closing:
            return True
        if self._size + len(message) > self._spare:
            self._drop_partials()
            if message.startswith(_PARTIAL):
                self._watch.add(PARTIALS_DROPPED)
                return True
        if self._size + len(message) > self.full:
            return False
        self._waiting.append(message)
        self._size += len(message)
        self._something.set()
        return True

    def end(self, closing: Closing) -> None:
        """Close after all that is here; nothing more is taken."""
        self._closing = self._closing or closing
        self.ended.set()
        self._something.set()

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._size = 0

    async def take(self) -> str | Closing:
        """The next message, waited for, or at last the closing."""
        while not self._waiting:
            if self._closing:
                return self._closing
            self._something.clear()
            await self._something.wait()
        message = self._waiting.popleft()
        self._size -= len(message)
        self._watch.add(MESSAGES_OUT)
        return message

    def _drop_partials(self) -> None:
        kept = [m for m in self._waiting if not m.startswith(_PARTIAL)]
        self._watch.add(PARTIALS_DROPPED, len(self._waiting) - len(kept))
        self._waiting = deque(kept)
        self._size = sum(map(len, kept))
