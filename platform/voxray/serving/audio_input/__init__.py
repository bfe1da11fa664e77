"""Bytes as clients send them to 16 kHz samples and their speech probabilities; no Ray."""
