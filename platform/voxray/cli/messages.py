"""One-line messages on stderr."""

import sys


def print_error(error: Exception) -> None:
    """Print what prevented the command, or one of its files, from being done."""
    print(f"error: {error}", file=sys.stderr, flush=True)


def print_warning(message: str) -> None:
    """Print what the user should know about a result that there is."""
    print(f"warning: {message}", file=sys.stderr, flush=True)
