"""Live and batch transcription over the network: gateways, buffer actors, transcribers, Ray around them."""
