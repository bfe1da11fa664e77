"""Audio in: any container, codec, rate and channel count becomes 16 kHz mono int16.

FFmpeg (through PyAV) opens only the containers named in `CONTAINERS` and only from memory or a plain
file, so that a playlist dressed as audio cannot make it read other files or URLs.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import numpy as np
import numpy.typing as npt
import soxr

from voxray.errors import AudioError

SAMPLE_RATE = 16_000  # samples per second
WINDOW_S = 30.0  # what Whisper pads to
WINDOW_SAMPLES = int(WINDOW_S * SAMPLE_RATE)  # 480,000
N_FFT = 400  # samples per analysis frame, 25 ms
HOP_LENGTH = 160  # samples between frames, 10 ms
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_LENGTH  # 100 log-mel frames
WINDOW_FRAMES = WINDOW_SAMPLES // HOP_LENGTH  # 3,000
POSITIONS_PER_SECOND = FRAMES_PER_SECOND // 2  # 50: the encoder's second convolution has stride 2
TIMESTAMP_STEP_S = 0.02

CONTAINERS = "wav,w64,aiff,flac,mp3,aac,ogg,matroska,webm,mov,mp4"
EXTENSIONS = frozenset(
    {".wav", ".w64", ".aif", ".aiff", ".flac", ".mp3", ".aac", ".ogg", ".oga", ".opus"}
    | {".mka", ".mkv", ".webm", ".m4a", ".mp4", ".mov"}
)
MAX_DECODED_S = 4 * 3600.0

Pcm = npt.NDArray[np.int16]
"""Mono samples at 16 kHz, shape (samples,)."""


def decode(source: bytes | Path, *, name: str = "", max_s: float = MAX_DECODED_S) -> Pcm:
    """The whole of `source` as 16 kHz mono int16.

    Raises AudioError, naming `name` (default: the path), when the bytes are not audio in one of
    `CONTAINERS`, hold no samples, or decode to more than `max_s` seconds.
    """
    name = name or (str(source) if isinstance(source, Path) else "audio")
    blocks: list[Pcm] = []
    samples = 0
    try:
        for block in _blocks(source):
            blocks.append(block)
            samples += len(block)
            if samples > max_s * SAMPLE_RATE:
                raise AudioError(
                    f"{name}: expected at most {max_s:g} s of audio, and it holds more; split it."
                )
    except (av.error.FFmpegError, IndexError, ValueError, OSError) as e:
        if isinstance(e, AudioError):
            raise
        reason = getattr(e, "strerror", None) or str(e) or type(e).__name__
        raise AudioError(
            f"{name}: expected audio (wav, flac, mp3, ogg, webm, mp4), and it cannot be decoded ({reason})."
        ) from e
    if samples == 0:
        raise AudioError(f"{name}: expected audio, and it holds no samples.")
    return np.concatenate(blocks)


def _blocks(source: bytes | Path) -> Iterator[Pcm]:
    data = source if isinstance(source, bytes) else source.read_bytes()
    if not data:
        raise AudioError(
            f"{'audio' if isinstance(source, bytes) else source}: expected audio, and it is empty."
        )
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": ""}
    with av.open(io.BytesIO(data), options=options, metadata_errors="ignore") as container:
        if not container.streams.audio:
            raise AudioError("expected an audio stream, and there is none")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        for frame in container.decode(container.streams.audio[0]):
            for out in resampler.resample(frame):
                yield out.to_ndarray().reshape(-1)
        for out in resampler.resample(None):
            yield out.to_ndarray().reshape(-1)


def resample(
    samples: npt.NDArray[np.float32], rate_in: float, rate_out: float = SAMPLE_RATE
) -> npt.NDArray[np.float32]:
    """`samples` (shape (samples,) or (samples, channels)) at `rate_out`, by soxr at high quality."""
    if rate_in == rate_out:
        return samples
    out: npt.NDArray[np.float32] = soxr.resample(samples, rate_in, rate_out)
    return out


def to_float(pcm: Pcm) -> npt.NDArray[np.float32]:
    """int16 as float32 in [-1, 1)."""
    return pcm.astype(np.float32) / 32768.0


def to_pcm(samples: npt.NDArray[np.floating]) -> Pcm:
    """Floats in [-1, 1] as int16, clipped."""
    return (np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)


def duration_s(pcm: Pcm) -> float:
    """Length in seconds."""
    return len(pcm) / SAMPLE_RATE


def encode(pcm: Pcm, codec: str = "flac", container: str = "flac", bit_rate: int | None = None) -> bytes:
    """`pcm` as a file's bytes: `flac`/`flac` (default), `libopus`/`ogg`, `pcm_s16le`/`wav`."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as muxer:
        stream = muxer.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
        if bit_rate:
            stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=stream.rate, frame_size=_frame_size(codec)
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            muxer.mux(stream.encode(piece))
        muxer.mux(stream.encode(None))
    return out.getvalue()


def _frame_size(codec: str) -> int | None:
    return {"libopus": 320, "flac": 4096}.get(codec)
