"""The two protocols of `/`: WhisperLive's, if the first frame is its handshake, and otherwise plain text."""

from collections.abc import Sequence

from voxray.serving.client_protocols.base import ClientProtocol, Frame
from voxray.serving.client_protocols.stream import PlainTextProtocol
from voxray.serving.client_protocols.whisper_live import WhisperLiveProtocol, handshake
from voxray.wire import ClientMessage, ServerMessage, Start


class RootProtocol(ClientProtocol):
    """Plain text until the first frame has come, and then the one that this frame belongs to."""

    resumable = False

    def __init__(self, models: tuple[str, ...]) -> None:
        self._models = models
        self._first = True
        self._protocol: ClientProtocol = PlainTextProtocol()

    @property
    def defaults(self) -> Start:
        """See `ClientProtocol`."""
        return self._protocol.defaults

    @property
    def finalize_after_s(self) -> float | None:
        """See `ClientProtocol`."""
        return self._protocol.finalize_after_s

    def read(self, frame: str | bytes) -> Sequence[ClientMessage | bytes | Frame]:
        """See `ClientProtocol`."""
        if self._first and handshake(frame) is not None:
            self._protocol = WhisperLiveProtocol(self._models)
        self._first = False
        return self._protocol.read(frame)

    def write(self, messages: Sequence[ServerMessage]) -> Sequence[Frame]:
        """See `ClientProtocol`."""
        return self._protocol.write(messages)
