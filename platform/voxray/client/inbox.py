"""Events that were received and not yet read."""

from collections import deque

from voxray.client.conversation import Event
from voxray.wire import Ack, Partial


class Inbox:
    """A queue of events. Of acks and partials it keeps only the newest, so that only text takes room."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()

    def __len__(self) -> int:
        """Return how many events wait."""
        return len(self._events)

    def put(self, event: Event) -> None:
        """Append an event; an ack or a partial replaces the one that still waits."""
        if isinstance(event, Ack | Partial):
            self._discard(type(event))
        self._events.append(event)

    def pop(self) -> Event:
        """Remove and return the oldest event. Raises IndexError if there is none."""
        return self._events.popleft()

    def _discard(self, kind: type[Event]) -> None:
        old = next((e for e in reversed(self._events) if isinstance(e, kind)), None)
        if old is not None:
            self._events.remove(old)
