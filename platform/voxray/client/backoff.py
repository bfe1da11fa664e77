"""How long to wait before connecting again, and when to give up."""

from collections.abc import Callable
from dataclasses import dataclass
from random import random


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Seconds: delays double from `first_s` to `most_s`; `total_s` after a loss no more is tried.

    A killed Serve proxy is back after 22 to 27 s. `silence_s`: a server that owes an answer and says nothing
    for so long is lost. `connect_s`: so long may a connection take; `opening_s`: so long may `ready` take
    then, for the server may have to start an actor, and gives that 60 s.
    """

    first_s: float = 0.25
    most_s: float = 4.0
    total_s: float = 60.0
    silence_s: float = 10.0
    connect_s: float = 20.0
    opening_s: float = 75.0


class Backoff:
    """The delays of one stream. They go on growing until a loss is made good."""

    def __init__(self, retry: RetryPolicy, jitter: Callable[[], float] = random) -> None:
        self._retry = retry
        self._jitter = jitter
        self._tries = 0
        self._lost_s: float | None = None

    def recovered(self) -> None:
        """The stream is further than when it was lost."""
        self._tries, self._lost_s = 0, None

    def delay_s(self, now_s: float) -> float | None:
        """Seconds to wait before the next try, between half and all of its turn's; None: give up."""
        self._lost_s = now_s if self._lost_s is None else self._lost_s
        delay_s = min(self._retry.most_s, self._retry.first_s * 2**self._tries)
        delay_s *= 0.5 + self._jitter() / 2
        self._tries += 1
        return delay_s if now_s + delay_s <= self._lost_s + self._retry.total_s else None
