"""16 kHz mono samples as the bytes of a file."""

import io
from typing import Literal

import av

from voxray.audio.constants import SAMPLE_RATE
from voxray.audio.pcm import Pcm

Codec = Literal["flac", "libopus", "libmp3lame", "aac", "pcm_s16le", "pcm_f32le", "pcm_mulaw"]


def encode(pcm: Pcm, codec: Codec = "flac", container: str = "flac", bit_rate: int | None = None) -> bytes:
    """Return `pcm` as a file's bytes: `flac`/`flac` (default), `libopus`/`ogg`, `pcm_s16le`/`wav`, ..."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as muxer:
        stream = muxer.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
        if bit_rate:
            stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        muxer.mux(stream.encode(frame))
        muxer.mux(stream.encode(None))
    return out.getvalue()
