"""Chooses the host of a new session; without Ray."""
