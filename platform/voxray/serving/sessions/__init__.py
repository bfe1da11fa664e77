"""Sessions: one buffer manager per client, many in a host; no Ray."""
