"""Live sessions: one buffer manager per client, many in a host; without Ray."""
