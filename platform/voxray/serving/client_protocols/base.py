"""The interface of the protocols.

socket accepted      -> greeting
frame of the client  -> read    -> messages and audio for the session, frames for the client
session's messages   -> write   -> frames for the client
closing              -> closing -> close code and reason
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from voxray.wire import ClientMessage, ServerMessage, Start


@dataclass(frozen=True, slots=True)
class Frame:
    """A text frame for the client. Of those that are `replaceable` a slow client loses some: each only
    improves on the one before."""

    text: str
    replaceable: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any], *, replaceable: bool = False) -> "Frame":
        """Return the frame that holds `values` as JSON."""
        return cls(json.dumps(values, ensure_ascii=False), replaceable)


@dataclass(frozen=True, slots=True)
class Closing:
    """The last thing that a client is sent: a WebSocket close code, and the reason for programs."""

    code: int
    reason: str = ""


class ClientProtocol(Protocol):
    """What the frames of one connection mean. Subclasses override what is not as in `/v1/stream`."""

    resumable: bool
    """Whether the client learns its session's token, so that it can resume."""

    @property
    def finalize_after_s(self) -> float | None:
        """Seconds without a frame of audio after which what was sent is finalised; None: only when asked."""
        return None

    @property
    def defaults(self) -> Start:
        """The start of a client that sends none, as of the moment at which its first audio comes."""
        ...

    def greeting(self) -> Sequence[Frame]:
        """Return what the client is sent as soon as its socket is accepted."""
        return ()

    def read(self, frame: str | bytes) -> Sequence[ClientMessage | bytes | Frame]:
        """Return the messages and the audio in `frame`, and what the client is sent at once in answer to it.

        Raises WireError, which closes the socket, where it is nothing that a client may send.
        """
        ...

    def write(self, messages: Sequence[ServerMessage]) -> Sequence[Frame]:
        """Return the frames for `messages`, all those that come at once; none if it is not sent them."""
        ...

    def closing(self, closing: Closing) -> Closing:
        """Return `closing` with the code and reason of this protocol."""
        return closing
