"""What a host knows of each gateway that calls it."""

from dataclasses import dataclass, field

from voxray.serving.protocol import Output, Reply
from voxray.wire import Close, Error

SILENT_S = 2.0  # without a call, the gateway's clients count as disconnected

_RESUMED_ELSEWHERE = Error(
    "resumed_elsewhere",
    "expected the newest connection of its session, got an older one; use the newest.",
)


@dataclass(slots=True)
class GatewayState:
    """The last call of one gateway, its reply, and the connections to close with the next reply."""

    called_s: float
    reply: Reply = field(default_factory=lambda: Reply(number=-1))
    _closings: dict[tuple[str, int], Output] = field(default_factory=dict)

    def close_connection(self, session: str, epoch: int, close: Close) -> None:
        """Close a connection with the next reply: its session has ended, or belongs to a newer connection."""
        messages = (_RESUMED_ELSEWHERE,) if close is Close.RESUMED_ELSEWHERE else ()
        self._closings[session, epoch] = Output(session, epoch, messages, close=close)

    def closings(self) -> list[Output]:
        """Return the outputs that close connections, each once."""
        closings = list(self._closings.values())
        self._closings.clear()
        return closings


class GatewayStates:
    """The gateways by name."""

    def __init__(self) -> None:
        self._states: dict[str, GatewayState] = {}

    def receive_call(self, gateway: str, now_s: float) -> GatewayState:
        """Return the state of a gateway that calls now."""
        state = self._states.setdefault(gateway, GatewayState(now_s))
        state.called_s = now_s
        return state

    def find(self, gateway: str | None) -> GatewayState | None:
        """Return the state of a gateway; None if it has not called for long."""
        return self._states.get(gateway or "")

    def silent(self, gateway: str | None, now_s: float) -> bool:
        """Return whether a gateway has not called for `SILENT_S`, or is None."""
        state = self.find(gateway)
        return state is None or now_s - state.called_s > SILENT_S

    def forget(self, before_s: float) -> None:
        """Drop the gateways whose last call is older; the numbers of their calls may start over."""
        self._states = {name: state for name, state in self._states.items() if state.called_s >= before_s}
