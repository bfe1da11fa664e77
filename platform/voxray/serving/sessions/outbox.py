"""What one client is told, as JSON, and what is said again to one that comes back."""

from collections import deque

from voxray.wire import Done, Final, ServerMessage, render

KEPT_FINALS = 256  # of the last; without a connection there is audio for a minute of them


class SessionOutbox:
    """Messages in order, each taken once; finals and `done` are kept besides."""

    def __init__(self) -> None:
        self._unsent: list[str] = []
        self._finals: deque[tuple[int, str]] = deque(maxlen=KEPT_FINALS)
        self._done: str | None = None

    def post(self, message: ServerMessage) -> None:
        """Say `message` with the next `take`."""
        text = render(message)
        self._unsent.append(text)
        if isinstance(message, Final):
            self._finals.append((message.segment, text))
        elif isinstance(message, Done):
            self._done = text

    def take(self) -> tuple[str, ...]:
        """What is to be sent now."""
        unsent, self._unsent = tuple(self._unsent), []
        return unsent

    def replay(self, have_segment: int) -> tuple[str, ...]:
        """For a new connection, in the place of what was not sent: the finals after `have_segment`, `done`.

        An answer to `finalize` that is lost so shows in `keep_from_byte`, which passes it only then.
        """
        self._unsent.clear()
        finals = tuple(text for segment, text in self._finals if segment > have_segment)
        return finals if self._done is None else (*finals, self._done)
