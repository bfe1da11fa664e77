"""The messages for one client, and those that are repeated when it resumes."""

from collections import deque

from voxray.wire import Done, Final, ServerMessage

KEPT_FINALS = 256  # the newest; a session without a connection receives a minute of audio at most


class SessionOutbox:
    """Messages in order, each sent once. Finals and `Done` are kept for connections that resume."""

    def __init__(self) -> None:
        self._unsent: list[ServerMessage] = []
        self._finals: deque[Final] = deque(maxlen=KEPT_FINALS)
        self._done: Done | None = None

    def put(self, message: ServerMessage) -> None:
        """Queue `message` for the next `messages_to_send`."""
        self._unsent.append(message)
        if isinstance(message, Final):
            self._finals.append(message)
        elif isinstance(message, Done):
            self._done = message

    def messages_to_send(self) -> tuple[ServerMessage, ...]:
        """Return the messages since the last call."""
        unsent, self._unsent = tuple(self._unsent), []
        return unsent

    def replay(self, have_segment: int) -> tuple[ServerMessage, ...]:
        """Return the finals after `have_segment`, and `Done`, for a new connection; drop what was not sent.

        A `Finalized` that is dropped here shows in `keep_from_byte`, which passes its place only then.
        """
        self._unsent.clear()
        finals = tuple(final for final in self._finals if final.segment > have_segment)
        return finals if self._done is None else (*finals, self._done)
