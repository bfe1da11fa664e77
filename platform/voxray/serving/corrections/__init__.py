"""Finals that are recorded with their audio, for people to correct and for jobs to learn from."""
