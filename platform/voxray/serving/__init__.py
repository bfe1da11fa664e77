"""Live and batch transcription over the network."""
