"""What a host knows of each gateway that calls it."""

from dataclasses import dataclass, field

from voxray.serving.protocol import Output, Reply
from voxray.wire import Close, Error

SILENT_S = 2.0  # without a call, the gateway's clients count as gone

_NEWER = Error(
    "resumed_elsewhere",
    "expected the newest connection of its session, and another has come since; use that one.",
)


@dataclass(slots=True)
class GatewayState:
    """Calls of one gateway: the last reply, and what is said to connections that have no session here."""

    seen_s: float
    reply: Reply = field(default_factory=lambda: Reply(number=-1))
    _farewells: dict[tuple[str, int], Output] = field(default_factory=dict)

    def dismiss(self, session: str, epoch: int, close: Close) -> None:
        """With the next reply, close a connection whose session is not, or no longer, its own."""
        messages = (_NEWER,) if close is Close.RESUMED_ELSEWHERE else ()
        self._farewells[session, epoch] = Output(session, epoch, messages, close=close)

    def farewells(self) -> list[Output]:
        """What is to be said with this reply."""
        said = list(self._farewells.values())
        self._farewells.clear()
        return said


class GatewayStates:
    """The gateways by their names."""

    def __init__(self) -> None:
        self._lines: dict[str, GatewayState] = {}

    def called(self, gateway: str, now_s: float) -> GatewayState:
        """The line of a gateway that calls now."""
        line = self._lines.setdefault(gateway, GatewayState(now_s))
        line.seen_s = now_s
        return line

    def find(self, gateway: str | None) -> GatewayState | None:
        """The line of a gateway; None for one that has not called for long."""
        return self._lines.get(gateway or "")

    def silent(self, gateway: str | None, now_s: float) -> bool:
        """Whether nothing is to be heard of a gateway, or a session has none."""
        line = self.find(gateway)
        return line is None or now_s - line.seen_s > SILENT_S

    def forget(self, before_s: float) -> None:
        """Drop those that have not called since then; their numbers may begin again."""
        self._lines = {name: line for name, line in self._lines.items() if line.seen_s >= before_s}
