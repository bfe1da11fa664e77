"""The gateway: sockets on one side, hosts of sessions on the other; no Ray."""
