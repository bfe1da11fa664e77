"""Benchmarks of the running service: programs, not tests. `python -m tests.benchmarks.live --help`."""
