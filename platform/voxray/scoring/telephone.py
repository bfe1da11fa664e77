"""Clips as they come over a telephone line: 8 kHz, through the codec of the line and back."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import av
import numpy as np

from voxray.audio import SAMPLE_RATE, Pcm, decode

LINE_RATE = 8000
DELAY_S = 0.1  # more than any codec of a line holds back at the end


@dataclass(frozen=True, slots=True)
class LineCodec:
    """A codec by FFmpeg's name, and the container that its packets are read from again."""

    encoder: str
    container: str
    bit_rate: int | None = None


LINE_CODECS: Mapping[str, LineCodec] = {
    "mu-law": LineCodec("pcm_mulaw", "wav"),
    "GSM": LineCodec("libgsm_ms", "wav"),
    "AMR 12.2": LineCodec("libopencore_amrnb", "amr", 12_200),
}
"""G.711, GSM full rate, and AMR at the rate that is GSM's enhanced full rate."""


def available_codecs() -> dict[str, LineCodec]:
    """Return those of `LINE_CODECS` that this build of FFmpeg can encode."""
    return {name: codec for name, codec in LINE_CODECS.items() if _can_encode(codec.encoder)}


def _can_encode(encoder: str) -> bool:
    try:
        return bool(av.Codec(encoder, "w").is_encoder)
    except ValueError:  # av.codec.UnknownCodecError
        return False


def over_line(pcm: Pcm, codec: LineCodec) -> Pcm:
    """Return 16 kHz samples after an 8 kHz line with `codec`; as many as `pcm` has."""
    followed = np.concatenate([pcm, np.zeros(round(DELAY_S * SAMPLE_RATE), np.int16)])
    received = decode(_encoded(followed, codec), name=codec.encoder)[: len(pcm)]
    out = pcm.copy()
    out[: len(received)] = received
    out[len(received) :] = 0
    return out


def _encoded(pcm: Pcm, codec: LineCodec) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=codec.container) as muxer:
        stream = muxer.add_stream(codec.encoder, rate=LINE_RATE, layout="mono")
        assert isinstance(stream, av.AudioStream)  # what these encoders make
        if codec.bit_rate:
            stream.bit_rate = codec.bit_rate
        stream.codec_context.open()
        size = stream.codec_context.frame_size or None
        resampler = av.AudioResampler("s16", "mono", LINE_RATE, frame_size=size)
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            muxer.mux(stream.encode(part))
        muxer.mux(stream.encode(None))
    return out.getvalue()
