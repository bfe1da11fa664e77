"""Which host takes a new session; no Ray."""
