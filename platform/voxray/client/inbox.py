"""Events that came and were not taken yet: what stays of them when nobody reads for a while."""

from collections import deque

from voxray.client.conversation import Event
from voxray.wire import Ack, Partial


class Inbox:
    """Events in order. Of acks and partials only the newest waits, so that only text takes room."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._events)

    def put(self, event: Event) -> None:
        """One more; an ack or a partial takes the place of the one that still waits."""
        if isinstance(event, Ack | Partial):
            self._discard(type(event))
        self._events.append(event)

    def take(self) -> Event:
        """The oldest; IndexError where none waits."""
        return self._events.popleft()

    def _discard(self, kind: type[Event]) -> None:
        old = next((e for e in reversed(self._events) if isinstance(e, kind)), None)
        if old is not None:
            self._events.remove(old)
