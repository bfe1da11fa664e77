"""ITU-T G.711, the coding of telephone lines: the samples that the 256 codes of mu-law and A-law mean."""

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float32]
"""In [-1, 1], shape (256,)."""

_CODES = np.arange(256, dtype=np.int32)


def _mulaw() -> Table:
    """Return 14-bit values (G.711, table 2a): all bits are inverted, and segments begin 33 steps below 0."""
    code = ~_CODES & 0xFF
    magnitude = ((((code & 0x0F) << 1) + 33) << (code >> 4 & 7)) - 33
    return (np.where(code & 0x80, -magnitude, magnitude) / 8192).astype(np.float32)


def _alaw() -> Table:
    """Return 13-bit values (G.711, table 1a): even bits are inverted, and the first segment is linear."""
    code = _CODES ^ 0x55
    segment, step = code >> 4 & 7, ((code & 0x0F) << 1) + 1
    magnitude = np.where(segment, (step + 32) << np.maximum(segment - 1, 0), step)
    return (np.where(code & 0x80, magnitude, -magnitude) / 4096).astype(np.float32)


TABLES: dict[str, Table] = {"mulaw": _mulaw(), "alaw": _alaw()}
"""Samples by code, for each of these encodings."""
