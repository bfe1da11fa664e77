"""Files of audio, written with PyAV: tracks that start late, missing packets, several tracks."""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.audio.stream
import numpy as np

from voxray.audio import SAMPLE_RATE, Pcm, to_float, to_pcm


def tone(seconds: float, rate: int = SAMPLE_RATE, hertz: float = 440.0) -> Pcm:
    return to_pcm(0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate))


def pitch(pcm: Pcm) -> float:
    """The loudest frequency, in hertz."""
    spectrum = np.abs(np.fft.rfft(to_float(pcm) * np.hanning(len(pcm))))
    return float(np.argmax(spectrum)) * SAMPLE_RATE / len(pcm)


def channels_as_wav(channels: Sequence[Pcm], mask: int = 0, rate: int = SAMPLE_RATE) -> bytes:
    """16-bit WAV; `mask` says where the channels belong, as in WAVEFORMATEXTENSIBLE."""
    n, body = len(channels), np.stack(channels, axis=1).astype("<i2").tobytes()
    guid = b"\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
    fmt = struct.pack("<HHIIHHHHI", 0xFFFE, n, rate, rate * n * 2, n * 2, 16, 22, 16, mask) + guid
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


@dataclass(frozen=True)
class Track:
    """A tone of one codec: from when on it is played, and what becomes of its packets."""

    codec: str
    seconds: float = 4.0
    rate: int = 48_000
    hertz: float = 440.0
    at_s: float = 0.0
    lost_s: tuple[float, float] = (0.0, 0.0)  # packets that begin between these are left out
    late_s: tuple[float, float] = (0.0, 0.0)  # packets from the first on are later by the second
    default: bool = False
    title: str = ""


class Pipe(io.RawIOBase):
    """Keeps what is written to it, and cannot go back to write a length into the header."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def getvalue(self) -> bytes:
        return bytes(self._written)


def muxed(container: str, *tracks: Track, video: bool = False, pipe: bool = False) -> bytes:
    """A file with these tracks, and 10 s of black video before them, written to a file or to a pipe."""
    out = Pipe() if pipe else io.BytesIO()
    options = {"rf64": "always"} if container == "rf64" else {}
    with av.open(out, "w", format="wav" if container == "rf64" else container, options=options) as muxer:
        packets = _black(muxer) if video else []
        streams = [_stream(muxer, track) for track in tracks]
        for stream, track in zip(streams, tracks, strict=True):
            packets += _packets(stream, track)
        for packet in sorted(packets, key=_time_s):
            muxer.mux(packet)
    return out.getvalue()


def _stream(muxer: av.container.OutputContainer, track: Track) -> av.audio.stream.AudioStream:
    stream = muxer.add_stream(track.codec, rate=track.rate, layout="mono")
    assert isinstance(stream, av.audio.stream.AudioStream)
    if track.codec.startswith("wma"):
        stream.bit_rate = 64_000
    if track.default:
        stream.disposition = av.stream.Disposition.default
    if track.title:
        stream.metadata["title"] = track.title
    return stream


def _black(muxer: av.container.OutputContainer) -> "list[av.Packet[Any]]":
    stream = muxer.add_stream("mpeg4", rate=10)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    packets = []
    for i in range(100):
        frame = av.VideoFrame(64, 64, "yuv420p")
        frame.pts, frame.time_base = i, Fraction(1, 10)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _packets(stream: av.audio.stream.AudioStream, track: Track) -> "Sequence[av.Packet[Any]]":
    samples = tone(track.seconds, track.rate, track.hertz).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = track.rate, 0, Fraction(1, track.rate)
    packets = []
    for packet in [*stream.encode(frame), *stream.encode(None)]:
        at_s = _time_s(packet)
        if track.lost_s[0] <= at_s < track.lost_s[1]:
            continue
        after_s = track.at_s + (track.late_s[1] if at_s >= track.late_s[0] else 0.0)
        shift = round(after_s / (packet.time_base or 1))
        packet.pts, packet.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
        packets.append(packet)
    return packets


def _time_s(packet: "av.Packet[Any]") -> float:
    return float((packet.dts or 0) * (packet.time_base or 0))
