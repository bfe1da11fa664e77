"""WebM, Ogg, MP4 in fragments, MP3 and the like as they arrive, decoded by FFmpeg in a thread.

    feed --bytes--> Pipe --read--> FFmpeg in its thread --put--> SampleQueue --samples--> feed

FFmpeg pulls, so it needs a thread that may wait. Both sides are bounded: the client is told how many bytes
may wait in the pipe, and FFmpeg reads no further while samples wait in the pool, for a small file can
decode to days.
"""

import threading
from collections import deque

import av
import av.error
import numpy as np

from voxray.audio import SAFE_OPTIONS, SAMPLE_RATE, blocks
from voxray.errors import AudioError
from voxray.serving.audio_input.pcm import nothing
from voxray.streaming.audio_buffer import Pcm

MAX_UNDECODED = 1 << 20  # bytes in the pipe that a client has credit for; as much again may be on the way
MAX_WAITING = 4 * SAMPLE_RATE  # samples in the pool, and those of one packet: what a host hears at once

# FFmpeg looks at 5 s of a stream before it gives the first packet, unless it is told to be quick.
_LIVE_OPTIONS = {**SAFE_OPTIONS, "probesize": "32768", "analyzeduration": "200000"}
_READ_BYTES = 4_096
_NAME = "container"  # what errors are about


class Pipe:
    """Bytes from one thread to reads of another. It cannot seek, so that FFmpeg takes them in order."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._ended = False

    @property
    def held(self) -> int:
        """Bytes that were not read yet."""
        return self._held

    def write(self, data: bytes) -> None:
        """More bytes; those after the end are dropped."""
        with self._changed:
            if data and not self._ended:
                self._chunks.append(data)
                self._held += len(data)
                self._changed.notify()

    def end(self, *, drop: bool = False) -> None:
        """No bytes follow; `drop`: nor may those be read that are here."""
        with self._changed:
            self._ended = True
            if drop:
                self._chunks.clear()
                self._held = 0
            self._changed.notify()

    def read(self, size: int) -> bytes:
        """At least one byte, and at most `size`, as soon as there are any; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._ended)
            if not self._chunks:
                return b""
            chunk = self._chunks.popleft()
            if len(chunk) > size:
                self._chunks.appendleft(chunk[size:])
            data = chunk[:size]
            self._held -= len(data)
            return data


class SampleQueue:
    """Samples that wait to be fetched, and how their source ended."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._blocks: list[Pcm] = []
        self._held = 0
        self._ended = False
        self._dropped = False
        self._error: AudioError | None = None

    def put(self, block: Pcm) -> bool:
        """One more block, once there is room; False when nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._held < MAX_WAITING or self._dropped)
            if not self._dropped:
                self._blocks.append(block)
                self._held += len(block)
                self._changed.notify_all()
            return not self._dropped

    def end(self, error: AudioError | None = None) -> None:
        """No blocks follow, because of `error` or in good order."""
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()

    def drop(self) -> None:
        """Nothing will be fetched any more."""
        with self._changed:
            self._dropped = True
            self._blocks.clear()
            self._changed.notify_all()

    def take(self) -> Pcm:
        """What is here; where that is nothing, the error with which it ended is raised."""
        with self._changed:
            taken, self._blocks, self._held = self._blocks, [], 0
            self._changed.notify_all()
            if not taken and self._error:
                raise self._error
        return np.concatenate(taken) if taken else nothing()

    @property
    def drained(self) -> bool:
        """It ended in good order, and all is taken."""
        with self._changed:
            return self._ended and not self._blocks and self._error is None


class ContainerDecoder:
    """An `AudioDecoder` of whatever FFmpeg finds in the bytes. `close` it, or its thread waits for ever."""

    resumable = False

    def __init__(self) -> None:
        self.received = 0
        self._given = 0
        self._pipe = Pipe()
        self._pool = SampleQueue()
        self._thread: threading.Thread | None = None

    @property
    def ended(self) -> bool:
        """See `AudioDecoder`."""
        return self._pool.drained

    def feed(self, data: bytes) -> Pcm:
        """See `AudioDecoder`: what has been decoded by now, of these bytes or of earlier ones."""
        if self._pipe.held + len(data) > 2 * MAX_UNDECODED:
            raise AudioError(
                f"{_NAME}: expected at most {self.credit(1)} bytes (credit), and {len(data)} came."
            )
        self.received += len(data)
        self._pipe.write(data)
        if data and self._thread is None:
            self._thread = threading.Thread(target=_decode, args=(self._pipe, self._pool), daemon=True)
            self._thread.start()
        return self._fetched()

    def finish(self) -> Pcm:
        """See `AudioDecoder`: what has been decoded by now; nobody waits for the thread."""
        self._pipe.end()
        if self._thread is None:
            self._pool.end()
        return self._fetched()

    def sample_of(self, byte: int) -> int:
        """See `AudioDecoder`: only the start is known, and what came so far."""
        return self._given if byte else 0

    def byte_of(self, sample: int) -> int:
        """See `AudioDecoder`."""
        return self.received

    def credit(self, room: int) -> int:
        """See `AudioDecoder`: bytes say nothing about samples, so there is credit wherever there is room."""
        return max(0, MAX_UNDECODED - self._pipe.held) if room > 0 else 0

    def close(self) -> None:
        """End the thread, whatever it is at."""
        self._pool.drop()
        self._pipe.end(drop=True)

    def _fetched(self) -> Pcm:
        pcm = self._pool.take()
        self._given += len(pcm)
        return pcm


def _decode(pipe: Pipe, pool: SampleQueue) -> None:
    """The thread: all that the pipe holds goes to the pool."""
    try:
        with av.open(
            pipe, "r", options=_LIVE_OPTIONS, metadata_errors="ignore", buffer_size=_READ_BYTES
        ) as container:
            for block in blocks(container, _NAME):
                if not pool.put(block):
                    break
        pool.end()
    except AudioError as e:
        pool.end(e)
    except Exception as e:  # whatever it is, the client is told, and no other session is touched
        pool.end(_undecodable(e))
    finally:
        pipe.end(drop=True)


def _undecodable(e: Exception) -> AudioError:
    reason = getattr(e, "strerror", None) or str(e) or type(e).__name__
    error = AudioError(
        f"{_NAME}: expected audio (webm, ogg, mp3, flac, wav, mp4 in fragments), and it cannot be decoded "
        f"({reason})."
    )
    error.__cause__ = e
    return error
