"""Audio: any container, codec, rate and channel count becomes 16 kHz mono int16, and back.

`constants`, `pcm` and `riff` need no FFmpeg, and importing this package does not load it: `decode` and the
other names of `decoding` and `encoding` are imported when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from voxray.audio.constants import (
    FRAMES_PER_SECOND,
    HOP_LENGTH,
    N_FFT,
    POSITIONS_PER_SECOND,
    SAMPLE_RATE,
    TIMESTAMP_STEP_S,
    WINDOW_FRAMES,
    WINDOW_S,
    WINDOW_SAMPLES,
)
from voxray.audio.pcm import Pcm, duration_s, resample, to_float, to_pcm

if TYPE_CHECKING:
    from voxray.audio.decoding import EXTENSIONS, SAFE_OPTIONS, blocks, decode
    from voxray.audio.encoding import Codec, encode

__all__ = [
    "EXTENSIONS",
    "FRAMES_PER_SECOND",
    "HOP_LENGTH",
    "N_FFT",
    "POSITIONS_PER_SECOND",
    "SAFE_OPTIONS",
    "SAMPLE_RATE",
    "TIMESTAMP_STEP_S",
    "WINDOW_FRAMES",
    "WINDOW_S",
    "WINDOW_SAMPLES",
    "Codec",
    "Pcm",
    "blocks",
    "decode",
    "duration_s",
    "encode",
    "resample",
    "to_float",
    "to_pcm",
]


def __getattr__(name: str) -> Any:
    """Import `decoding` or `encoding`, which load FFmpeg, for the names that they define (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(
        import_module(f"{__name__}.{'encoding' if name in ('Codec', 'encode') else 'decoding'}"), name
    )
