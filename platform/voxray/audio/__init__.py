"""Audio: any container, codec, rate and channel count becomes 16 kHz mono int16, and back.

`constants`, `containers`, `pcm` and `riff` need no FFmpeg, and importing this package does not load it: the
names of the other modules are imported when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from voxray.audio.constants import (
    FRAMES_PER_SECOND,
    HOP_LENGTH,
    MAX_HOLE_S,
    N_FFT,
    POSITIONS_PER_SECOND,
    SAMPLE_RATE,
    TIMESTAMP_STEP_S,
    WINDOW_FRAMES,
    WINDOW_S,
    WINDOW_SAMPLES,
)
from voxray.audio.containers import CONTAINERS, EXTENSIONS, SAFE_OPTIONS
from voxray.audio.pcm import Block, Pcm, duration_s, resample, to_float, to_pcm

if TYPE_CHECKING:
    from voxray.audio.decoding import channel_count, decode, decode_blocks, decode_chunks
    from voxray.audio.demuxing import blocks
    from voxray.audio.encoding import Codec, encode
    from voxray.audio.selection import DEFAULT_TRACK, Selection

__all__ = [
    "CONTAINERS",
    "DEFAULT_TRACK",
    "EXTENSIONS",
    "FRAMES_PER_SECOND",
    "HOP_LENGTH",
    "MAX_HOLE_S",
    "N_FFT",
    "POSITIONS_PER_SECOND",
    "SAFE_OPTIONS",
    "SAMPLE_RATE",
    "TIMESTAMP_STEP_S",
    "WINDOW_FRAMES",
    "WINDOW_S",
    "WINDOW_SAMPLES",
    "Block",
    "Codec",
    "Pcm",
    "Selection",
    "blocks",
    "channel_count",
    "decode",
    "decode_blocks",
    "decode_chunks",
    "duration_s",
    "encode",
    "resample",
    "to_float",
    "to_pcm",
]


_HOMES = {
    "blocks": "demuxing",
    "channel_count": "decoding",
    "decode": "decoding",
    "decode_blocks": "decoding",
    "decode_chunks": "decoding",
    "Codec": "encoding",
    "encode": "encoding",
    "DEFAULT_TRACK": "selection",
    "Selection": "selection",
}
"""The modules that load FFmpeg, by the names that they define."""


def __getattr__(name: str) -> Any:
    """Import the module of a name that needs FFmpeg (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
