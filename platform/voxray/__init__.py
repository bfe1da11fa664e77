"""Voxray: distil Whisper on your audio and serve it to live microphones, on Ray from end to end."""

__version__ = "0.1.0"
