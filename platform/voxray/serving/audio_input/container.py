"""Decodes WebM, Ogg, fragmented MP4, MP3 and other containers as they arrive, with FFmpeg in a thread.

    feed --bytes--> Pipe --read--> FFmpeg in its thread --put--> SampleQueue --samples--> feed

FFmpeg reads its input, so it needs a thread that may wait. Both sides are bounded: the client has credit for
the bytes that may wait in the pipe, and FFmpeg reads no further while samples wait in the queue, because a
small file can decode to days of audio.
"""

import threading
from collections import deque
from collections.abc import Iterator

import av
import av.error
import numpy as np

from voxray.audio import MAX_HOLE_S, SAFE_OPTIONS, SAMPLE_RATE, Block, Pcm, blocks
from voxray.errors import AudioError
from voxray.serving.audio_input.pcm import NO_SAMPLES

MAX_UNDECODED = 1 << 20  # bytes in the pipe that a client has credit for; as much again may be on the way
MAX_WAITING = 4 * SAMPLE_RATE  # samples in the queue, before those of one more packet

# By default, FFmpeg analyses 5 s of a stream before it returns the first packet.
_LIVE_OPTIONS = {**SAFE_OPTIONS, "probesize": "32768", "analyzeduration": "200000"}
_READ_BYTES = 4_096
_NAME = "container"  # what errors are about


class Pipe:
    """Bytes from one thread to reads of another. It cannot seek, so that FFmpeg reads them in order."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._chunks: deque[memoryview] = deque()
        self._held = 0
        self._ended = False

    @property
    def held(self) -> int:
        """The bytes that were not read yet."""
        return self._held

    def write(self, data: bytes) -> None:
        """Add bytes; those after the end are dropped."""
        with self._changed:
            if data and not self._ended:
                self._chunks.append(memoryview(data))
                self._held += len(data)
                self._changed.notify()

    def end(self, *, drop: bool = False) -> None:
        """End the stream; with `drop`, also drop the bytes that were not read."""
        with self._changed:
            self._ended = True
            if drop:
                self._chunks.clear()
                self._held = 0
            self._changed.notify()

    def read(self, size: int) -> bytes:
        """Wait for bytes and return 1 to `size` of them; return none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._ended)
            if not self._chunks:
                return b""
            head = self._chunks.popleft()
            data, rest = head[:size], head[size:]  # views: to copy the rest at each read would be quadratic
            if rest:
                self._chunks.appendleft(rest)
            self._held -= len(data)
            return bytes(data)


class SampleQueue:
    """Samples from one thread to another, bounded, and the error with which they ended."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._blocks: list[Pcm] = []
        self._held = 0
        self._ended = False
        self._closed = False
        self._error: AudioError | None = None

    def put(self, block: Pcm) -> bool:
        """Wait for room and add a block; return False once the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._held < MAX_WAITING or self._closed)
            if not self._closed:
                self._blocks.append(block)
                self._held += len(block)
            return not self._closed

    def end(self, error: AudioError | None = None) -> None:
        """No blocks follow: the source has ended, or failed with `error`."""
        with self._changed:
            self._ended = True
            self._error = error

    def close(self) -> None:
        """Drop all samples, and accept no more."""
        with self._changed:
            self._closed = True
            self._blocks.clear()
            self._changed.notify()

    def get(self) -> Pcm:
        """Return all samples that are here, without waiting; if there are none, raise the source's error."""
        with self._changed:
            blocks, self._blocks, self._held = self._blocks, [], 0
            self._changed.notify()
            if not blocks and self._error:
                raise self._error
        return np.concatenate(blocks) if blocks else NO_SAMPLES

    @property
    def drained(self) -> bool:
        """Whether the source has ended without an error, and all samples were fetched."""
        with self._changed:
            return self._ended and not self._blocks and self._error is None


class ContainerDecoder:
    """An `AudioDecoder` of whatever FFmpeg finds in the bytes. Without `close`, its thread stays."""

    resumable = False

    def __init__(self) -> None:
        self.received = 0
        self._given = 0
        self._pipe = Pipe()
        self._samples = SampleQueue()
        self._thread: threading.Thread | None = None

    @property
    def ended(self) -> bool:
        """See `AudioDecoder`."""
        return self._samples.drained

    def feed(self, data: bytes) -> Pcm:
        """See `AudioDecoder`: returns what has been decoded by now, of these bytes or of earlier ones."""
        if self._pipe.held + len(data) > 2 * MAX_UNDECODED:
            raise AudioError(f"{_NAME}: expected at most {self.credit(1)} bytes (credit), got {len(data)}.")
        self.received += len(data)
        self._pipe.write(data)
        if data and self._thread is None:
            self._thread = threading.Thread(target=_decode, args=(self._pipe, self._samples), daemon=True)
            self._thread.start()
        return self._decoded()

    def finish(self) -> Pcm:
        """See `AudioDecoder`: returns what has been decoded by now, without waiting for the thread."""
        self._pipe.end()
        if self._thread is None:
            self._samples.end()
        return self._decoded()

    def sample_of(self, byte: int) -> int:
        """See `AudioDecoder`: only the start and the present end are known."""
        return self._given if byte else 0

    def byte_of(self, sample: int) -> int:
        """See `AudioDecoder`."""
        return self.received

    def credit(self, room: int) -> int:
        """See `AudioDecoder`: the samples in a byte are not known, so any room gives full credit."""
        return max(0, MAX_UNDECODED - self._pipe.held) if room > 0 else 0

    def close(self) -> None:
        """End the thread, whatever it waits for."""
        self._samples.close()
        self._pipe.end(drop=True)

    def _decoded(self) -> Pcm:
        pcm = self._samples.get()
        self._given += len(pcm)
        return pcm


def _decode(pipe: Pipe, samples: SampleQueue) -> None:
    """Decode all bytes of the pipe into the queue; the body of the thread."""
    try:
        with av.open(
            pipe, "r", options=_LIVE_OPTIONS, metadata_errors="ignore", buffer_size=_READ_BYTES
        ) as container:
            for pcm in _without_holes(blocks(container, _NAME)):
                if not samples.put(pcm):
                    break
        samples.end()
    except AudioError as e:
        samples.end(e)
    except Exception as e:  # FFmpeg's errors have no common base; only this session ends
        samples.end(_undecodable(e))
    finally:
        pipe.end(drop=True)


def _without_holes(decoded: Iterator[Block]) -> Iterator[Pcm]:
    """Yield the samples, with silence in their holes: at most `MAX_HOLE_S` in each, a second at a time."""
    end = 0
    for block in decoded:
        hole = min(block.start - end, round(MAX_HOLE_S * SAMPLE_RATE))
        for at in range(0, hole, SAMPLE_RATE):
            yield np.zeros(min(SAMPLE_RATE, hole - at), dtype=np.int16)
        yield block.pcm
        end = block.end


def _undecodable(e: Exception) -> AudioError:
    reason = getattr(e, "strerror", None) or str(e) or type(e).__name__
    error = AudioError(
        f"{_NAME}: expected audio (webm, ogg, mp3, flac, wav, mp4 in fragments), got bytes that cannot "
        f"be decoded ({reason})."
    )
    error.__cause__ = e
    return error
