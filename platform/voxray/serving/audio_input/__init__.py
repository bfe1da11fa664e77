"""From the bytes that clients send to 16 kHz samples and their speech probabilities; without Ray."""
