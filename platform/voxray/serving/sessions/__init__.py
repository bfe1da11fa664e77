"""Live sessions: one buffer manager per client, many in a host; without Ray.

    AsyncHost -> SessionHost -> BufferManager -> InputBuffer -> AudioDecoder     bytes to samples
                                              -> VoiceActivityDetector           speech probabilities
                                              -> streaming.Session               events, decode requests
                                              -> DecodeQueue                     jobs for a transcriber
                                              -> SessionOutbox                   messages for the client

Arrows are calls. A host also keeps a `GatewayState` for each gateway that calls it.
"""
