"""How a client's frames are read and answered: the JSON of `/v1/stream`, and plain text at `/`.

A client of `ws://host:8000/` sends s16le mono audio at 16 kHz. An empty frame flushes; each final comes back
as a text frame with its text and nothing else. There is no JSON in either direction.
"""

from typing import Protocol

from voxray.errors import WireError
from voxray.wire import ClientMessage, Final, Finalize, ServerMessage, Start, parse_client, render


class ClientProtocol(Protocol):
    """What frames mean. `defaults` is the start of a client that sends none.

    `resumable`: whether the client learns its session's token, so that it can resume.
    """

    @property
    def defaults(self) -> Start: ...

    @property
    def resumable(self) -> bool: ...

    def read(self, frame: str | bytes) -> ClientMessage | bytes:
        """Return the message or the audio in `frame`; raise WireError where it is neither."""
        ...

    def write(self, message: ServerMessage) -> str | None:
        """Return the frame for `message`, or None where this kind of client is not sent it."""
        ...


class StreamProtocol:
    """The protocol of `voxray.wire`: JSON in text frames, audio in binary ones."""

    defaults = Start()
    resumable = True

    def read(self, frame: str | bytes) -> ClientMessage | bytes:
        """As `ClientProtocol.read`."""
        return frame if isinstance(frame, bytes) else parse_client(frame)

    def write(self, message: ServerMessage) -> str:
        """As `ClientProtocol.write`."""
        return render(message)


class PlainTextProtocol:
    """Audio in, the text of finals out."""

    defaults = Start(partials=False)
    resumable = False

    def read(self, frame: str | bytes) -> ClientMessage | bytes:
        """Return the audio, or `Finalize` for an empty frame; raise WireError for text."""
        if isinstance(frame, str):
            raise WireError(f"expected binary frames (s16le, mono, 16 kHz), got text: {frame[:60]!r}.")
        return frame or Finalize()

    def write(self, message: ServerMessage) -> str | None:
        """Return the text of a final that is not empty."""
        return (message.text or None) if isinstance(message, Final) else None
