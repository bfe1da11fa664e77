"""The audio of an open container as 16 kHz mono blocks, each with its place on the container's clock.

A track may begin after the container does, and lost packets leave holes: both are kept as holes between
blocks, which cost no memory however long they are.
"""

from collections.abc import Callable, Iterator

import av
import av.audio.stream
import av.container
import av.error
import numpy as np

from voxray.audio.constants import SAMPLE_RATE
from voxray.audio.containers import WITH_CLOCK
from voxray.audio.mixing import MonoResampler
from voxray.audio.pcm import Block, Pcm
from voxray.audio.selection import DEFAULT_TRACK, Selection, audio_stream
from voxray.errors import AudioError

MIN_RATE = 4_000  # of the source; at 1 Hz a packet of a few bytes would become hours
MAX_DAMAGED = 0.05  # of the packets; tags and the ends of streams leave a few that are not audio
JITTER_S = 0.1  # clocks that differ by less from the samples are not holes (as FFmpeg's min_hard_comp)
RESTART_S = 2.0  # a clock that falls behind the samples by more was set back, as where files are joined


def reject(message: str) -> None:
    """Raise AudioError with `message`."""
    raise AudioError(message)


def blocks(
    container: av.container.InputContainer,
    name: str,
    selection: Selection = DEFAULT_TRACK,
    damaged: Callable[[str], None] = reject,
) -> Iterator[Block]:
    """Yield a track of an open container, in order, without overlap.

    Its format may change on the way. Raises AudioError, naming `name`, where there is no such track. If more
    than `MAX_DAMAGED` of its packets do not decode, `damaged` is called with a message after the last block.
    """
    stream = audio_stream(container, selection.track, name)
    frames = _frames(container, stream, name, damaged)
    start = 0
    for hole, pcm in _resampled(frames, _Clock(container), selection.channel):
        start += hole
        if len(pcm):
            yield Block(start, pcm)
            start += len(pcm)


class _Clock:
    """Compares the times that a container gives its frames with the samples that there are."""

    def __init__(self, container: av.container.InputContainer) -> None:
        self._is_used = container.format.name.split(",")[0] in WITH_CLOCK
        start = container.start_time
        self._origin_s = None if start is None else start / 1_000_000  # AV_TIME_BASE
        self._position_s = 0.0

    def hole_before(self, frame: av.AudioFrame) -> int:
        """Return how many samples at 16 kHz are missing before `frame`, and count its own."""
        hole_s = self._late_s(frame)
        self._position_s += hole_s + frame.samples / frame.sample_rate
        return round(hole_s * SAMPLE_RATE)

    def _late_s(self, frame: av.AudioFrame) -> float:
        if not self._is_used or frame.time is None:
            return 0.0
        if self._origin_s is None:
            self._origin_s = frame.time
        late_s = frame.time - self._origin_s - self._position_s
        if late_s < -RESTART_S:
            self._origin_s += late_s
        return late_s if late_s > JITTER_S else 0.0


def _resampled(
    frames: Iterator[av.AudioFrame], clock: _Clock, channel: int | None
) -> Iterator[tuple[int, Pcm]]:
    """Yield samples, and how many are missing before them; at a hole the samples may be none."""
    resampler: MonoResampler | None = None
    for frame in frames:
        hole = clock.hole_before(frame)
        if resampler is None or hole or not resampler.fits(frame):
            yield from ((0, pcm) for pcm in (resampler.flush() if resampler else ()))
            yield hole, np.empty(0, dtype=np.int16)
            resampler = MonoResampler(frame, channel)
        yield from ((0, pcm) for pcm in resampler.resample(frame))
    yield from ((0, pcm) for pcm in (resampler.flush() if resampler else ()))


def _frames(
    container: av.container.InputContainer,
    stream: av.audio.stream.AudioStream,
    name: str,
    damaged: Callable[[str], None],
) -> Iterator[av.AudioFrame]:
    """Yield the frames of `stream`; packets that do not decode are left out."""
    packets = bad = 0
    for packet in _packets(container, stream, name, damaged):
        packets += 1
        try:
            frames = packet.decode()
        except av.error.FFmpegError:  # decoders have many errors for damage, and not all are InvalidDataError
            bad += 1
            continue
        for frame in frames:
            if not isinstance(frame, av.AudioFrame):
                continue
            if frame.sample_rate < MIN_RATE:
                raise AudioError(f"{name}: expected {MIN_RATE} Hz or more, got {frame.sample_rate} Hz.")
            yield frame
    if bad > max(1, MAX_DAMAGED * packets):
        damaged(f"{name}: expected audio, got {bad} damaged packets of {packets}; write the file again.")


def _packets(
    container: av.container.InputContainer,
    stream: av.audio.stream.AudioStream,
    name: str,
    damaged: Callable[[str], None],
) -> Iterator["av.Packet[av.audio.stream.AudioStream]"]:
    """Yield the packets of `stream`; where the container cannot be read any further, `damaged` is called.

    Raises FFmpegError where not even the first can be read.
    """
    packets = container.demux(stream)
    packet = next(packets, None)
    while packet is not None:
        yield packet
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as e:
            damaged(
                f"{name}: expected audio, got a damaged file that cannot be decoded further ({e.strerror})."
            )
            return
