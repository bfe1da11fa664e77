"""What one client is told, and what is said again to one that comes back."""

from collections import deque

from voxray.wire import Done, Final, ServerMessage

KEPT_FINALS = 256  # of the last; without a connection there is audio for a minute of them


class SessionOutbox:
    """Messages in order, each taken once; finals and `done` are kept besides."""

    def __init__(self) -> None:
        self._unsent: list[ServerMessage] = []
        self._finals: deque[tuple[int, Final]] = deque(maxlen=KEPT_FINALS)
        self._done: Done | None = None

    def post(self, message: ServerMessage) -> None:
        """Say `message` with the next `take`."""
        self._unsent.append(message)
        if isinstance(message, Final):
            self._finals.append((message.segment, message))
        elif isinstance(message, Done):
            self._done = message

    def take(self) -> tuple[ServerMessage, ...]:
        """What is to be sent now."""
        unsent, self._unsent = tuple(self._unsent), []
        return unsent

    def replay(self, have_segment: int) -> tuple[ServerMessage, ...]:
        """For a new connection, in the place of what was not sent: the finals after `have_segment`, `done`.

        An answer to `finalize` that is lost so shows in `keep_from_byte`, which passes it only then.
        """
        self._unsent.clear()
        finals = tuple(final for segment, final in self._finals if segment > have_segment)
        return finals if self._done is None else (*finals, self._done)
