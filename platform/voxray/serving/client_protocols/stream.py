"""Our own protocols: the JSON of `/v1/stream`, and plain text at `/`.

A client of `ws://host:8000/` sends s16le mono audio at 16 kHz. An empty frame flushes; each final comes back
as a text frame with its text and nothing else. There is no JSON in either direction.
"""

from collections.abc import Sequence

from voxray.errors import WireError
from voxray.serving.client_protocols.base import ClientProtocol, Frame
from voxray.wire import ClientMessage, Final, Finalize, Partial, ServerMessage, Start, parse_client, render


class StreamProtocol(ClientProtocol):
    """The protocol of `voxray.wire`: JSON in text frames, audio in binary ones."""

    defaults = Start()
    resumable = True

    def read(self, frame: str | bytes) -> Sequence[ClientMessage | bytes]:
        """See `ClientProtocol`."""
        return [frame if isinstance(frame, bytes) else parse_client(frame)]

    def write(self, messages: Sequence[ServerMessage]) -> Sequence[Frame]:
        """See `ClientProtocol`."""
        return [Frame(render(m), isinstance(m, Partial)) for m in messages]


class PlainTextProtocol(ClientProtocol):
    """Audio in, the text of finals out."""

    defaults = Start(partials=False)
    resumable = False

    def read(self, frame: str | bytes) -> Sequence[ClientMessage | bytes]:
        """Return the audio, or `Finalize` for an empty frame; raise WireError for text."""
        if isinstance(frame, str):
            raise WireError(f"expected binary frames (s16le, mono, 16 kHz), got text: {frame[:60]!r}.")
        return [frame or Finalize()]

    def write(self, messages: Sequence[ServerMessage]) -> Sequence[Frame]:
        """Return the texts of finals that are not empty."""
        return [Frame(m.text) for m in messages if isinstance(m, Final) and m.text]
