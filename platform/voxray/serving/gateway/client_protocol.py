"""How a client's frames are read and answered: the wire of `/v1/stream`, and the first clients' plain habit.

`ws://host:8000/` takes s16le mono audio at 16 kHz, frame after frame. An empty frame flushes; each final
comes back as a text frame that is its text and nothing else; there is no JSON in either direction.
"""

from typing import Protocol

from voxray.errors import WireError
from voxray.wire import ClientMessage, Final, Finalize, Start, parse_client, parse_server


class ClientProtocol(Protocol):
    """What one kind of client says and hears. `defaults` is the start of one that sends none.

    `resumable`: it is told its session's token, and may come back for it.
    """

    @property
    def defaults(self) -> Start: ...

    @property
    def resumable(self) -> bool: ...

    def read(self, frame: str | bytes) -> ClientMessage | bytes:
        """The message in a frame, or the audio; WireError that says what was expected and what came."""
        ...

    def write(self, message: str) -> str | None:
        """A server's message (JSON) as this client gets it; None where it does not."""
        ...


class Wire:
    """`voxray.wire`, as it is."""

    defaults = Start()
    resumable = True

    def read(self, frame: str | bytes) -> ClientMessage | bytes:
        """JSON in text frames, audio in binary ones."""
        return frame if isinstance(frame, bytes) else parse_client(frame)

    def write(self, message: str) -> str:
        """The message itself."""
        return message


class Plain:
    """Audio in, finals out."""

    defaults = Start(partials=False)
    resumable = False

    def read(self, frame: str | bytes) -> ClientMessage | bytes:
        """Audio; an empty frame is a `finalize`."""
        if isinstance(frame, str):
            raise WireError(f"expected binary frames (s16le, mono, 16 kHz), and text came: {frame[:60]!r}.")
        return frame or Finalize()

    def write(self, message: str) -> str | None:
        """The text of a final that is not empty."""
        parsed = parse_server(message)
        return (parsed.text or None) if isinstance(parsed, Final) else None
