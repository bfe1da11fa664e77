"""The channels of one connection as sessions of their own, which the connection sees as one session.

    Connection --next_input--> ChannelGroup --its samples--> Channel --next_input--> HostClient
    Connection <--receive_output-- ChannelGroup <--messages-- Channel <--receive_output-- HostClient

The sessions open together, get the same controls at the same places, and end together: if one is refused,
lost or closed with an error, so is the connection. They may be on different hosts, and cannot be resumed.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from voxray.errors import WireError
from voxray.serving.audio_input import magic
from voxray.serving.gateway.host_client import HostClients, Peer, SessionOwner
from voxray.serving.protocol import Control, Opened, Output, Refused
from voxray.wire import (
    MAX_CREDIT_BYTES,
    MAX_SESSION_CHANNELS,
    WIDTHS,
    Ack,
    Close,
    Done,
    Error,
    Ready,
    Reconnect,
    ServerMessage,
    Start,
)

RIFF = b"RIFF"
NOT_OF_CHANNELS = (Ready, Done, Reconnect, Error)


class ChannelGroup:
    """The sessions that `start` asks for, for `connection`. Call `open` next.

    Raises WireError where there cannot be one for each channel.
    """

    def __init__(self, start: Start, connection: Peer) -> None:
        _check(start)
        self.opened = False
        self._connection = connection
        self._frame_bytes, self._width = start.frame_bytes, WIDTHS[start.encoding]
        self._channels = [Channel(self, number) for number in range(1, start.channels + 1)]
        self._held = b""  # less than a frame
        self._received = 0  # bytes, of all channels
        self._over = False

    def open(self, start: Start, hosts: HostClients, owner: str) -> None:
        """Begin to open a session for each channel; `owner` is that of the client's key."""
        mono = start.model_copy(update={"channels": 1, "multichannel": False})
        for channel in self._channels:
            hosts.open(mono, channel, resumable=False, owner=owner)

    def leave(self, session: str, epoch: int) -> None:
        """Leave the sessions of all channels."""
        self._over = True
        for channel in self._channels:
            channel.leave()

    # Called for the channels.

    @property
    def closed(self) -> bool:
        """Whether the connection needs no sessions any more."""
        return self._over or self._connection.closed

    def channel_opened(self) -> None:
        """Open the connection's session if this was the last channel."""
        if self.closed or not all(channel.session for channel in self._channels):
            return
        self.opened = True
        models = [m.model for m in self._channels[0].opening if isinstance(m, Ready)]
        ready = Ready(session="", resume_token="", resumed=False, received_bytes=0, model=models[0])
        self._connection.session_opened(Opened("", "", 0, (ready,), self._credit_bytes), self)

    def channel_refused(self, refused: Refused) -> None:
        """Refuse the connection, and leave the sessions that were opened for it."""
        if not self.closed:
            self.leave("", 0)
            self._connection.session_refused(refused)

    def channel_restarts(self) -> None:
        """End the connection, whose client has to begin anew."""
        self._connection.restart()

    def distribute_input(self, channel: "Channel") -> None:
        """Move the connection's next input on to the channels, if `channel` is the first that has not ended.

        That one sets the pace for all: a connection expects to be asked once a tick.
        """
        if channel is not next(c for c in self._channels if c.done is None):
            return
        for item in self._connection.next_input() if self.opened else ():
            if isinstance(item, Control):
                for channel in self._channels:
                    channel.append(item)
            elif self._is_audio(item):
                self._split(item)

    def receive_output(self, channel: "Channel", output: Output) -> None:
        """Pass on what a channel is sent; the end once all have it."""
        if not self.opened and output.close is None:
            return
        messages = tuple(self._tagged(message, channel.number) for message in channel.kept(output.messages))
        close = output.close
        if close is Close.NORMAL:
            ends = [c.done for c in self._channels if c.done]
            if len(ends) < len(self._channels):
                close = None
            else:
                audio_s, segments = max(d.audio_s for d in ends), sum(d.segments for d in ends)
                messages = (*messages, Done(audio_s, segments))
        self._connection.receive_output(Output("", 0, messages, self._credit_bytes, close))

    @property
    def _credit_bytes(self) -> int:
        room = min(channel.room for channel in self._channels)
        return min(max(0, room) * len(self._channels), MAX_CREDIT_BYTES)

    def _tagged(self, message: ServerMessage, number: int) -> ServerMessage:
        if isinstance(message, Ack):
            received, credit = self._received, self._credit_bytes
            message = replace(message, received_bytes=received, keep_from_byte=received, credit_bytes=credit)
        return message if isinstance(message, NOT_OF_CHANNELS) else replace(message, channel=number)

    def _split(self, data: bytes) -> None:
        self._received += len(data)
        data = self._held + data
        whole = len(data) - len(data) % self._frame_bytes
        self._held = data[whole:]
        frames = np.frombuffer(data[:whole], f"V{self._width}").reshape(-1, len(self._channels))
        for channel, samples in zip(self._channels, frames.T, strict=True):
            channel.append(samples.tobytes())

    def _is_audio(self, data: bytes) -> bool:
        """Return whether `data` may be samples; if it begins a file, end the connection."""
        name = "WAV" if data.startswith(RIFF) else magic.container(data)
        if self._received or not name:
            return True
        expected = "samples without a header with multichannel"
        message = f"audio: expected {expected}, got a {name} file; send what is after its header."
        self._connection.receive_output(Output("", 0, (Error("not_audio", message),), close=Close.NOT_AUDIO))
        return False


class Channel:
    """One channel's session, as its host's client sees it; see `Peer`. `number` counts from 1."""

    def __init__(self, group: ChannelGroup, number: int) -> None:
        self.number = number
        self.room = 0  # bytes that the session has room for beyond those that wait
        self.session: Opened | None = None
        self.done: Done | None = None
        self._group = group
        self._owner: SessionOwner | None = None
        self._items: list[bytes | Control] = []

    @property
    def opening(self) -> tuple[ServerMessage, ...]:
        """The messages with which the session began."""
        return self.session.messages if self.session else ()

    def append(self, item: bytes | Control) -> None:
        """Add input for the session, which is sent with the next call to its host."""
        if self.done is None:
            self._items.append(item)
            self.room -= _size(item)

    def kept(self, messages: Sequence[ServerMessage]) -> list[ServerMessage]:
        """Return `messages` without the session's `Done`, which is noted."""
        self.done = next((m for m in messages if isinstance(m, Done)), self.done)
        return [m for m in messages if not isinstance(m, Done)]

    def leave(self) -> None:
        """Leave the session, if it is open."""
        if self._owner and self.session:
            self._owner.leave(self.session.session, self.session.epoch)

    # As `Peer`.

    @property
    def closed(self) -> bool:
        """See `Peer`."""
        return self._group.closed

    def session_opened(self, opened: Opened, host: SessionOwner) -> None:
        """See `Peer`."""
        self.session, self._owner, self.room = opened, host, opened.credit_bytes
        self._group.channel_opened()

    def session_refused(self, refused: Refused) -> None:
        """See `Peer`."""
        self._group.channel_refused(refused)

    def next_input(self) -> tuple[bytes | Control, ...]:
        """See `Peer`.

        A connection that closed before all channels were open did not know of this session.
        """
        if self.closed:
            self.leave()
            return ()
        self._group.distribute_input(self)
        items, self._items = self._items, []
        return tuple(items)

    def receive_output(self, output: Output) -> None:
        """See `Peer`."""
        self.room = output.credit_bytes - sum(map(_size, self._items))
        self._group.receive_output(self, output)

    def restart(self) -> None:
        """See `Peer`."""
        self._group.channel_restarts()


def _size(item: bytes | Control) -> int:
    return len(item) if isinstance(item, bytes) else 0


def _check(start: Start) -> None:
    if start.encoding == "container":
        raise WireError("multichannel: expected an encoding of samples with it, got container.")
    if start.channels > MAX_SESSION_CHANNELS:
        expected = f"at most {MAX_SESSION_CHANNELS} with multichannel, as each has a session"
        raise WireError(f"channels: expected {expected}, got {start.channels}.")
    if start.session is not None or start.from_byte:
        raise WireError("multichannel: expected a new session, as these cannot be resumed, got an old one.")
