"""What is measured while the service runs."""

from collections.abc import Callable

Observe = Callable[[str, float], None]
"""Receives a metric's name and one value of it; names that end in `_s` are in seconds."""


def unobserved(name: str, value: float) -> None:
    """Ignore the observation."""
