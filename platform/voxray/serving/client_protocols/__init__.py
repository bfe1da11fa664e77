"""What clients and gateways say to each other on a socket: our own protocols, and those of other services.

Each is a translator without I/O: frames in, messages of `voxray.wire` and audio out, and back.
"""
