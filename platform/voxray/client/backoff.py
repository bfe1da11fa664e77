"""How long to wait before connecting again, and when to give up."""

from collections.abc import Callable
from dataclasses import dataclass
from random import random


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a client waits and retries, in seconds.

    Delays double from `first_s` to `most_s`, and no try is made later than `total_s` after a loss; a killed
    Serve proxy is back within 28 s. A connection may take `connect_s`, and `ready` then `opening_s`: the
    server may have to start an actor, which it gives 60 s. The connection counts as lost when the server owes
    an answer and sends nothing for `silence_s`.
    """

    first_s: float = 0.25
    most_s: float = 4.0
    total_s: float = 60.0
    silence_s: float = 10.0
    connect_s: float = 20.0
    opening_s: float = 75.0


class Backoff:
    """The delays of one stream. They grow until `recovered` is called."""

    def __init__(self, retry: RetryPolicy, jitter: Callable[[], float] = random) -> None:
        self._retry = retry
        self._jitter = jitter
        self._tries = 0
        self._lost_s: float | None = None

    def recovered(self) -> None:
        """Start again from the first delay; call it when the stream is further than when it was lost."""
        self._tries, self._lost_s = 0, None

    def delay_s(self, now_s: float) -> float | None:
        """Return the seconds to wait before the next try, with jitter of up to a half; None: give up."""
        self._lost_s = now_s if self._lost_s is None else self._lost_s
        delay_s = min(self._retry.most_s, self._retry.first_s * 2**self._tries)
        delay_s *= 0.5 + self._jitter() / 2
        self._tries += 1
        return delay_s if now_s + delay_s <= self._lost_s + self._retry.total_s else None
