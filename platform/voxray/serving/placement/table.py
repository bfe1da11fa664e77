"""Where a new session goes: pure, over what is known of each host.

A host that already serves the asking gateway is best, so that the pairs of gateways and hosts (each costs a
call per tick) grow with the clients and not with their square; then one on its node; then the emptiest.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

Key = tuple[bool, bool, int, int]
TOLD_S = 3.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a host says of itself: its node, its sessions, and the gateways that call it."""

    number: int
    node: str
    sessions: int = 0
    gateways: frozenset[str] = frozenset()


@dataclass(slots=True)
class Table:
    """The hosts of a service. `capacity`: sessions per host; `limit`: sessions in all.

    A session that was placed is counted until its host has told of it, or for `TOLD_S`. Times are seconds on
    a clock of the caller's.
    """

    capacity: int
    limit: int
    hosts: dict[int, Load] = field(default_factory=dict)
    _told: dict[int, int] = field(default_factory=dict)
    _placed_s: dict[int, list[float]] = field(default_factory=dict)

    @property
    def sessions(self) -> int:
        """How many there are, as far as is known."""
        return sum(h.sessions for h in self.hosts.values())

    @property
    def full(self) -> bool:
        """Whether no session more may be opened."""
        return self.sessions >= self.limit

    @property
    def spare(self) -> bool:
        """Whether a host without sessions is ready."""
        return any(not h.sessions for h in self.hosts.values())

    def has_room(self, without: Collection[int] = ()) -> bool:
        """Whether a host that is none of `without` takes one more session."""
        return any(h.sessions < self.capacity and n not in without for n, h in self.hosts.items())

    def report(self, load: Load, now_s: float) -> None:
        """What a host says now replaces what was thought of it, but for what it cannot know yet."""
        grown = max(0, load.sessions - self._told.get(load.number, 0))
        placed_s = self._placed_s.get(load.number, [])[grown:]
        placed_s = [t for t in placed_s if now_s - t < TOLD_S]
        self._told[load.number], self._placed_s[load.number] = load.sessions, placed_s
        self.hosts[load.number] = replace(load, sessions=load.sessions + len(placed_s))

    def lose(self, number: int) -> None:
        """A host has died, or does not answer."""
        self.hosts.pop(number, None)
        self._told.pop(number, None)
        self._placed_s.pop(number, None)

    def place(self, gateway: str, node: str, now_s: float, without: Collection[int] = ()) -> int | None:
        """The host for a new session, which is counted there at once; None where none has room."""
        if self.full or not self.has_room(without):
            return None
        open_ = [h for n, h in self.hosts.items() if h.sessions < self.capacity and n not in without]
        best = min(open_, key=lambda h: _distance(h, gateway, node))
        gateways = best.gateways | {gateway}
        self.hosts[best.number] = replace(best, sessions=best.sessions + 1, gateways=gateways)
        self._placed_s.setdefault(best.number, []).append(now_s)
        return best.number


def _distance(host: Load, gateway: str, node: str) -> Key:
    return gateway not in host.gateways, host.node != node, host.sessions, host.number
