"""Limits the rate of something; the clock is an argument."""


class TokenBucket:
    """`burst` tokens, refilled at `per_s`. The level may fall below zero, and is refilled from there."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._level = burst
        self._at_s: float | None = None

    def consume(self, tokens: float, now_s: float) -> bool:
        """Remove `tokens`; return whether there were as many."""
        passed_s = now_s - self._at_s if self._at_s is not None else 0.0
        self._level = min(self._burst, self._level + passed_s * self._per_s) - tokens
        self._at_s = now_s
        return self._level >= 0
