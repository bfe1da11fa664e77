"""Messages that wait for one client to read them, within bounds.

A client that reads slowly loses replaceable frames, such as partials, first: each only improves on the one
before. A client that does not
read at all is closed. Under Ray Serve only a plain uvicorn pushes back; Serve's proxies accept all that they
are given, at the rate at which a session produces messages.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from voxray.serving.client_protocols.base import ClientProtocol, Closing, Frame
from voxray.serving.gateway.metrics import Metrics
from voxray.wire import ServerMessage

PARTIALS_LIMIT = 1 << 16  # characters that may wait before partials are dropped
LIMIT = 1 << 20  # characters that may wait before the client is closed


class Outbox:
    """A queue of text frames that ends with a `Closing`. Messages are rendered as they are put."""

    def __init__(
        self,
        protocol: ClientProtocol,
        metrics: Metrics,
        partials_limit: int = PARTIALS_LIMIT,
        limit: int = LIMIT,
    ) -> None:
        self.ended = asyncio.Event()
        self.limit = limit
        self._protocol, self._metrics = protocol, metrics
        self._partials_limit = partials_limit
        self._frames = deque[Frame]()
        self._size = 0
        self._closing: Closing | None = None
        self._changed = asyncio.Event()

    @property
    def size(self) -> int:
        """Characters that wait."""
        return self._size

    @property
    def closing(self) -> Closing | None:
        """How this ends, as far as that is known."""
        return self._closing

    def put_replay(self, messages: Iterable[ServerMessage]) -> None:
        """Append `messages` whatever their size: a client that resumes may lack the finals of hours."""
        for frame in self._protocol.write(list(messages)):
            self.limit += len(frame.text)
            self._partials_limit += len(frame.text)
            self._put(frame)

    def put(self, *messages: ServerMessage) -> bool:
        """Append `messages`; return False, keeping no more, where the client has left too much unread."""
        return self.put_frames(*self._protocol.write(messages))

    def put_frames(self, *frames: Frame) -> bool:
        """As `put`, of frames."""
        return all(map(self._put, frames))

    def end(self, closing: Closing) -> None:
        """Close after all that waits; what is put later is discarded. Only the first call counts."""
        self._closing = self._closing or self._protocol.closing(closing)
        self.ended.set()
        self._changed.set()

    def clear(self) -> None:
        """Discard what waits."""
        self._frames.clear()
        self._size = 0

    async def next_frame(self) -> str | Closing:
        """Wait for the next frame and remove it; after the last, return the closing."""
        while not self._frames:
            if self._closing:
                return self._closing
            self._changed.clear()
            await self._changed.wait()
        text = self._frames.popleft().text
        self._size -= len(text)
        self._metrics.messages_out.inc()
        return text

    def _put(self, frame: Frame) -> bool:
        if self._closing:
            return True
        if self._size + len(frame.text) > self._partials_limit:
            self._drop_partials()
            if frame.replaceable:
                self._metrics.partials_dropped.inc()
                return True
        if self._size + len(frame.text) > self.limit:
            return False
        self._frames.append(frame)
        self._size += len(frame.text)
        self._changed.set()
        return True

    def _drop_partials(self) -> None:
        kept = deque(frame for frame in self._frames if not frame.replaceable)
        self._metrics.partials_dropped.inc(len(self._frames) - len(kept))
        self._frames = kept
        self._size = sum(len(frame.text) for frame in kept)
