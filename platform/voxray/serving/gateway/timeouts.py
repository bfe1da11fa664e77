"""When a connection ends without an error: it asked to stop, was idle, or reached its time limit."""

from dataclasses import dataclass

from voxray.serving.settings import Limits
from voxray.wire import Close, Error

FLUSH_TIMEOUT_S = 60.0  # without progress, after which a flush counts as failed
FLUSH_FAILED = Error(
    "unavailable",
    f"expected the finals of the audio that was sent, got none for {FLUSH_TIMEOUT_S:g} s; try again later.",
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a socket closes once its session is flushed. `asked`: whether the client sent `stop`."""

    close: Close = Close.NORMAL
    reason: str = ""
    error: Error | None = None
    asked: bool = False


STOPPED = Ending(asked=True)


class ConnectionTimeouts:
    """The times of one connection, in seconds of the gateway's clock."""

    def __init__(self, limits: Limits, now_s: float) -> None:
        self._limits = limits
        self._opened_s = self._received_s = self._progress_s = now_s
        self._audio_s: float | None = None  # when audio last came; None once it is finalised

    def received(self, now_s: float) -> None:
        """Note that the client sent something."""
        self._received_s = now_s

    def audio_received(self, now_s: float) -> None:
        """Note that the client sent audio."""
        self._audio_s = now_s

    def pause_began(self, now_s: float, after_s: float | None) -> bool:
        """Return, once after each run of audio, whether none has come for `after_s`; None: never."""
        if after_s is None or self._audio_s is None or now_s - self._audio_s < after_s:
            return False
        self._audio_s = None
        return True

    def progressed(self, now_s: float) -> None:
        """Note that input was sent to the host, or output received from it."""
        self._progress_s = now_s

    def expired(self, now_s: float, *, waiting: bool) -> Ending | None:
        """Return how to end the connection now, or None.

        A client may be silent while it is `waiting` for credit or for its host.
        """
        session_s, idle_s = self._limits.session_s, self._limits.idle_s
        if now_s - self._opened_s > session_s:
            return Ending(reason=f"session: open for {session_s:g} s")
        if now_s - self._received_s > idle_s and not waiting:
            return Ending(reason=f"idle: nothing came for {idle_s:g} s")
        return None

    def flush_failed(self, now_s: float) -> bool:
        """Return whether the flush before an ending will not finish: its decode hangs, or lags far behind."""
        return now_s - self._progress_s > FLUSH_TIMEOUT_S
