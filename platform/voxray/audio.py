"""Audio in: any container, codec, rate and channel count becomes 16 kHz mono int16.

FFmpeg (through PyAV) is given an open file, only the containers named in `CONTAINERS`, and no protocol, so
that a playlist dressed as audio cannot make it read other files or URLs.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, Literal

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
SAFE_OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": ""}  # for FFmpeg
MIN_RATE = 4_000  # of the source; at 1 Hz a packet of a few bytes would become hours
EXTENSIONS = frozenset(
    {".wav", ".w64", ".aif", ".aiff", ".flac", ".mp3", ".aac", ".ogg", ".oga", ".opus"}
    | {".mka", ".mkv", ".webm", ".m4a", ".mp4", ".mov"}
)
MAX_DECODED_S = 4 * 3600.0
CUT_OFF_S = 0.25  # codecs' own delay and padding stay below this
MAX_DAMAGED = 0.05  # of the packets; tags and the ends of streams leave a few that are not audio
_PROMISING = frozenset({"flac", "aiff", "mov"})  # containers whose header says exactly how long they are
_UNKNOWN_RIFF_SIZE = 0x7FFF_0000  # at or over this, the writer did not know the length (pipes)

Codec = Literal["flac", "libopus", "libmp3lame", "aac", "pcm_s16le", "pcm_f32le", "pcm_mulaw"]

Pcm = npt.NDArray[np.int16]
"""Mono samples at 16 kHz, shape (samples,)."""


def decode(
    source: bytes | Path | BinaryIO,
    *,
    name: str = "",
    max_s: float = MAX_DECODED_S,
    admit: Callable[[int], None] | None = None,
) -> Pcm:
    """The whole of `source` as 16 kHz mono int16. A file that is open is read from its start, and left open.

    `admit` is told how many samples are to be kept before they are; what it raises ends the decoding.

    Raises AudioError, naming `name` (default: the path), when the file cannot be read, is not audio in one
    of `CONTAINERS`, holds no samples or more than `max_s` seconds, or is cut off. A file counts as cut off
    when its header promises more than it holds (wav, flac, aiff, mp4): half a recording under the whole text
    would teach a model to leave words out. The others promise nothing, and what is there is kept. So are
    files of which at most `MAX_DAMAGED` of the packets do not decode.
    """
    name = name or (str(source) if isinstance(source, Path) else "audio")
    try:
        with _opened(source, name) as file:
            return _decode(file, name, max_s, admit)
    except AudioError:
        raise
    except (av.error.FFmpegError, IndexError, ValueError) as e:
        reason = getattr(e, "strerror", None) or str(e) or type(e).__name__
        raise AudioError(
            f"{name}: expected audio (wav, flac, mp3, ogg, webm, mp4), and it cannot be decoded ({reason})."
        ) from e
    except OSError as e:
        raise AudioError(f"{name}: expected an audio file, and it cannot be read ({e.strerror}).") from e


def _opened(source: bytes | Path | BinaryIO, name: str) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not isinstance(source, Path):
        return nullcontext(source)
    if source.exists() and not source.is_file():  # a folder; or a pipe, which would be waited for
        raise AudioError(f"{name}: expected an audio file, and it is not a plain file.")
    return source.open("rb")


def _decode(file: BinaryIO, name: str, max_s: float, admit: Callable[[int], None] | None) -> Pcm:
    _check_whole(file, name)
    with av.open(file, "r", options=SAFE_OPTIONS, metadata_errors="ignore") as container:
        held = bytearray()  # an hour of Opus takes 116 MB so; as a list of its blocks, joined at the end, 279
        samples = 0
        for block in blocks(container, name):
            samples += len(block)
            if samples > max_s * SAMPLE_RATE:
                raise AudioError(f"{name}: expected at most {max_s:g} s, and it holds more; split it.")
            if admit:
                admit(len(block))
            held += block.data
        if samples == 0:
            raise AudioError(f"{name}: expected audio, and it holds no samples.")
        promised_s = _promised_s(container)
    if samples / SAMPLE_RATE < promised_s - CUT_OFF_S:
        raise AudioError(
            f"{name}: expected {promised_s:.2f} s of audio by its header, and only "
            f"{samples / SAMPLE_RATE:.2f} s are there; it is cut off or damaged."
        )
    return np.frombuffer(held, dtype=np.int16)


def _check_whole(file: BinaryIO, name: str) -> None:
    """AudioError where the file is empty or a RIFF header promises more bytes, which FFmpeg lets pass."""
    held = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(8)
    file.seek(0)
    if held == 0:
        raise AudioError(f"{name}: expected audio, and it is empty.")
    promised = int.from_bytes(head[4:], "little") + 8
    if head[:4] == b"RIFF" and len(head) == 8 and held + 1 < promised < _UNKNOWN_RIFF_SIZE:  # 1: a pad
        raise AudioError(
            f"{name}: expected {promised} bytes by its header, and only {held} are there; it is cut off."
        )


def _promised_s(container: av.container.InputContainer) -> float:
    """Seconds that the header promises; 0 where it promises nothing."""
    stream = container.streams.audio[0]
    if container.format.name.split(",")[0] not in _PROMISING or not stream.duration or not stream.time_base:
        return 0.0
    return float(stream.duration * stream.time_base)


def blocks(container: av.container.InputContainer, name: str) -> Iterator[Pcm]:
    """The first audio stream of an open container as 16 kHz mono int16, packet by packet.

    AudioError, naming `name`, where there is none, or too much of it is damaged.
    """
    if not container.streams.audio:
        raise AudioError(f"{name}: expected an audio stream, and there is none.")
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    for frame in _frames(container, name):
        if frame.sample_rate < MIN_RATE:
            raise AudioError(f"{name}: expected {MIN_RATE} Hz or more, and it has {frame.sample_rate} Hz.")
        yield from _resampled(resampler, frame)
    yield from _resampled(resampler, None)


def _frames(container: av.container.InputContainer, name: str) -> Iterator[av.AudioFrame]:
    """The first audio stream's frames; packets that do not decode are left out."""
    packets = damaged = 0
    for packet in container.demux(container.streams.audio[0]):
        packets += 1
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            damaged += 1
            continue
        yield from (frame for frame in frames if isinstance(frame, av.AudioFrame))
    if damaged > max(1, MAX_DAMAGED * packets):
        raise AudioError(
            f"{name}: expected audio, and {damaged} of its {packets} packets are damaged; write it again."
        )


def _resampled(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> Iterator[Pcm]:
    for out in resampler.resample(frame):
        yield np.asarray(out.to_ndarray(), dtype=np.int16).reshape(-1)


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
    """Floats in [-1, 1) as int16, rounded and clipped; undoes `to_float` exactly."""
    pcm: Pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    return pcm


def duration_s(pcm: Pcm) -> float:
    """Length in seconds."""
    return len(pcm) / SAMPLE_RATE


def encode(pcm: Pcm, codec: Codec = "flac", container: str = "flac", bit_rate: int | None = None) -> bytes:
    """`pcm` as a file's bytes: `flac`/`flac` (default), `libopus`/`ogg`, `pcm_s16le`/`wav`, ..."""
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
