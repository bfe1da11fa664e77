"""Trainings over REST: what they are, where they are kept, and the process that each of them runs in."""
