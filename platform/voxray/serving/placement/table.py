"""Chooses the host of a new session from the loads of all hosts. Pure: the clock is an argument.

First comes a host that already serves the gateway, so that the pairs of gateways and hosts (each costs a call
per tick) grow with the clients and not with their square; then one on its node; then the emptiest.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import NamedTuple

UNREPORTED_S = 3.0  # after which a placed session that its host does not report was not opened


@dataclass(frozen=True, slots=True)
class Load:
    """What a host reports: its node, its sessions, and the gateways that call it."""

    number: int
    node: str
    sessions: int = 0
    gateways: frozenset[str] = frozenset()


class Placed(NamedTuple):
    """A session that was placed on a host, and is not reported by it yet."""

    time_s: float
    gateway: str


@dataclass(slots=True)
class Table:
    """The hosts of a service, with at most `capacity` sessions per host and `limit` in all.

    A session that was placed counts until its host reports it, or for `UNREPORTED_S`. Times are seconds on
    the caller's clock.
    """

    capacity: int
    limit: int
    hosts: dict[int, Load] = field(default_factory=dict)
    _reported: dict[int, int] = field(default_factory=dict)
    _placed: dict[int, list[Placed]] = field(default_factory=dict)

    @property
    def sessions(self) -> int:
        """The number of sessions, as far as is known."""
        return sum(h.sessions for h in self.hosts.values())

    @property
    def full(self) -> bool:
        """Whether no more sessions may be opened."""
        return self.sessions >= self.limit

    @property
    def spare(self) -> bool:
        """Whether a host without sessions is ready."""
        return any(not h.sessions for h in self.hosts.values())

    def has_room(self, without: Collection[int] = ()) -> bool:
        """Return whether a host that is not in `without` takes one more session."""
        return any(h.sessions < self.capacity and n not in without for n, h in self.hosts.items())

    def report(self, load: Load, now_s: float) -> None:
        """Receive a host's load, and add what was placed there and is not reported yet."""
        grown = max(0, load.sessions - self._reported.get(load.number, 0))
        placed = [p for p in self._placed.get(load.number, [])[grown:] if now_s - p.time_s < UNREPORTED_S]
        self._reported[load.number], self._placed[load.number] = load.sessions, placed
        self.hosts[load.number] = replace(
            load,
            sessions=load.sessions + len(placed),
            gateways=load.gateways.union(p.gateway for p in placed),
        )

    def lose(self, number: int) -> None:
        """Remove a host that has died or does not answer."""
        self.hosts.pop(number, None)
        self._reported.pop(number, None)
        self._placed.pop(number, None)

    def place(self, gateway: str, node: str, now_s: float, without: Collection[int] = ()) -> int | None:
        """Return the host for a new session, and count it there; return None if no host has room."""
        if self.full or not self.has_room(without):
            return None
        open_ = [h for n, h in self.hosts.items() if h.sessions < self.capacity and n not in without]
        best = min(open_, key=lambda h: _distance(h, gateway, node))
        gateways = best.gateways | {gateway}
        self.hosts[best.number] = replace(best, sessions=best.sessions + 1, gateways=gateways)
        self._placed.setdefault(best.number, []).append(Placed(now_s, gateway))
        return best.number


def _distance(host: Load, gateway: str, node: str) -> tuple[bool, bool, int, int]:
    return gateway not in host.gateways, host.node != node, host.sessions, host.number
