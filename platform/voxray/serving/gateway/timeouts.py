"""How a connection ends that did nothing wrong: it asked, fell silent, or has been here for long."""

from dataclasses import dataclass

from voxray.serving.settings import Limits
from voxray.wire import Close, Error

DONE_S = 60.0  # in which nothing new is heard, nor said of what was: nothing more is waited for
LATE = Error(
    "unavailable",
    f"expected the finals of what was heard, and for {DONE_S:g} s none came; try again later.",
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a socket closes once its session has been flushed; `asked`: by the client."""

    close: Close = Close.NORMAL
    reason: str = ""
    error: Error | None = None
    asked: bool = False


STOPPED = Ending(asked=True)


class ConnectionTimeouts:
    """Since when one client is here, is silent, and waits for its end: seconds of the gateway's clock."""

    def __init__(self, limits: Limits, now_s: float) -> None:
        self._limits = limits
        self._began_s = self._heard_s = self._moved_s = now_s

    def heard(self, now_s: float) -> None:
        """The client said something."""
        self._heard_s = now_s

    def moved(self, now_s: float) -> None:
        """What it said has gone on, or something came of it."""
        self._moved_s = now_s

    def over(self, now_s: float, *, waits: bool) -> Ending | None:
        """How to end now, if at all. One that `waits`, for credit or for its host, may be silent."""
        session_s, idle_s = self._limits.session_s, self._limits.idle_s
        if now_s - self._began_s > session_s:
            return Ending(reason=f"session: open for {session_s:g} s")
        if now_s - self._heard_s > idle_s and not waits:
            return Ending(reason=f"idle: nothing came for {idle_s:g} s")
        return None

    def late(self, now_s: float) -> bool:
        """Whether what an ending waits for will not come: its decode hangs, or its host is far behind."""
        return now_s - self._moved_s > DONE_S
