"""Decodes a client's bytes to 16 kHz mono int16, and maps bytes to samples.

Each session has one decoder. Bytes count from the first that the client ever sent, also in a decoder that
replaces a lost one; samples count from the same moment.
"""

from typing import Protocol

import numpy as np

from voxray.audio import Pcm, riff
from voxray.errors import AudioError, WireError
from voxray.serving.audio_input import magic
from voxray.serving.audio_input.pcm import NO_SAMPLES, Converter, Format
from voxray.wire import MAX_CREDIT_BYTES, MIN_RATE, Start

MAX_HEADER = 64 * 1024  # bytes before the audio
_THINNEST = Format("pcm_s16le", 1, MIN_RATE)  # the format with the most samples per byte


class AudioDecoder(Protocol):
    """The bytes of one session in, its samples out. Call `close` in the end."""

    received: int
    """The position of the next byte."""

    @property
    def resumable(self) -> bool:
        """Whether another decoder can continue from the middle; False if it would lack a header."""
        ...

    @property
    def ended(self) -> bool:
        """Whether, after `finish`, all samples have been returned."""
        ...

    def feed(self, data: bytes) -> Pcm:
        """Return the samples that are ready after `data`, which may be cut anywhere, or be empty.

        Raises AudioError for bytes that cannot be audio.
        """
        ...

    def finish(self) -> Pcm:
        """End the bytes, and return the rest of the samples; less than a frame is dropped.

        A container returns what is decoded by now, about 4 s at most: call this again until `ended`. Raises
        AudioError as `feed` does.
        """
        ...

    def sample_of(self, byte: int) -> int:
        """Return the sample that `byte` belongs to."""
        ...

    def byte_of(self, sample: int) -> int:
        """Return the byte from which a new decoder gives `sample` and those after it again.

        It begins a frame and never decreases, and `sample_of(byte_of(sample)) <= sample`. It is `received` if
        the decoder is not `resumable`, because earlier bytes are then of no use.
        """
        ...

    def credit(self, room: int) -> int:
        """Return how many more bytes may be fed to get at most `room` samples."""
        ...

    def close(self) -> None:
        """Free all resources; no other call may follow."""
        ...


def decoder_for(start: Start, at_byte: int = 0) -> AudioDecoder:
    """Return the decoder of what `start` announces, from byte `at_byte` on.

    Raises WireError if that lies inside a frame, or inside a container.
    """
    if start.encoding != "container":
        return PcmDecoder(start, at_byte)
    if at_byte:
        raise WireError(
            f"from_byte: expected 0, because a container must be sent from its start, got {at_byte}."
        )
    from voxray.serving.audio_input.container import ContainerDecoder  # here: loads FFmpeg

    return ContainerDecoder()


class PcmDecoder:
    """Decodes PCM of any rate and number of channels.

    At byte 0, a RIFF/WAVE header may give the format and the length; bytes after that length are dropped.
    """

    def __init__(self, start: Start, at_byte: int = 0) -> None:
        if at_byte % start.frame_bytes:
            raise WireError(
                f"from_byte: expected a multiple of {start.frame_bytes}, got {at_byte}; a frame of "
                f"{start.channels} x {start.encoding} has {start.frame_bytes} bytes."
            )
        self.received = at_byte
        self.resumable = True
        self.ended = False
        self._start = at_byte
        self._origin = 0  # the byte of frame 0: after a RIFF header
        self._end: int | None = None  # of the audio, if a RIFF header gives it
        self._undecided = at_byte == 0  # whether the first bytes may still be a header
        self._held = b""  # less than a frame, or less than a header
        self._converter = Converter(Format(start.encoding, start.channels, start.sample_rate))
        self._given = self.sample_of(at_byte)

    @property
    def format(self) -> Format:
        """The format that the audio is decoded as."""
        return self._converter.format

    def feed(self, data: bytes) -> Pcm:
        """See `AudioDecoder`; returns a view of `data` if that is 16 kHz mono int16 already."""
        self.received += len(data)
        if self._held:
            data = self._held + data
            self._held = b""
        if self._undecided:
            data = self._audio_after_header(data)
        data = self._before_end(data)
        whole = len(data) - len(data) % self.format.frame_bytes
        if whole < len(data):
            data, self._held = data[:whole], data[whole:]
        return self._counted(self._converter.convert(data)) if data else NO_SAMPLES

    def finish(self) -> Pcm:
        """See `AudioDecoder`."""
        if self.ended:
            return NO_SAMPLES
        if self._undecided and len(self._held) >= riff.MAGIC_BYTES:
            self._held = b""  # a header that was cut off; fewer bytes are audio
        self._undecided = False
        rest = self.feed(b"")
        self.ended = True
        return np.concatenate([rest, self._counted(self._converter.finish())])

    def sample_of(self, byte: int) -> int:
        """See `AudioDecoder`."""
        byte = byte if self._end is None else min(byte, self._end)
        return self.format.sample_of(max(0, byte - self._origin) // self.format.frame_bytes)

    def byte_of(self, sample: int) -> int:
        """See `AudioDecoder`."""
        if not self.resumable:
            return self.received
        byte = self._origin + self.format.frame_before(sample) * self.format.frame_bytes
        return max(self._start, byte if byte > self._origin else 0)

    def credit(self, room: int) -> int:
        """See `AudioDecoder`: allows for any RIFF header that may follow, and ignores bytes after the end."""
        if self._end is not None and self.received >= self._end:
            return MAX_CREDIT_BYTES if room > 0 else 0
        credit = self._credit(self.format, room)
        return min(credit, self._credit(_THINNEST, room)) if self._undecided else credit

    def close(self) -> None:
        """See `AudioDecoder`; there is nothing to free."""

    def _credit(self, format_: Format, room: int) -> int:
        until = self._origin + format_.frames_within(self._given + room) * format_.frame_bytes
        return min(max(0, until - self.received), MAX_CREDIT_BYTES)

    def _audio_after_header(self, data: bytes) -> bytes:
        """Return the audio in `data`, the start of the stream; hold `data` while it may be a header."""
        if not data:
            return data
        if name := magic.container(data):
            raise AudioError(
                f"audio: expected {self.format.encoding}, got a {name} file; "
                "send it with encoding container in start."
            )
        if not (riff.may_begin(data) or magic.may_begin(data)):
            self._undecided = False
            return data
        header = riff.parse_header(data, MAX_HEADER) if len(data) >= riff.MAGIC_BYTES else None
        if header is None:
            self._held = data
            return b""
        self._undecided = False
        self._begin_after(header)
        return data[header.data_start :]

    def _before_end(self, data: bytes) -> bytes:
        """Return `data`, the last bytes received, up to the end of the audio."""
        if self._end is None or self.received <= self._end:
            return data
        return data[: max(0, self._end - self.received + len(data))]

    def _begin_after(self, header: riff.WaveHeader) -> None:
        """Follow the header. A decoder without it can continue only if it agrees with `start`."""
        announced, begin = Format.of(header.format), header.data_start
        self.resumable = announced == self.format and begin % self.format.frame_bytes == 0
        self._origin = begin
        self._end = None if header.data_bytes is None else begin + header.data_bytes
        self._converter = Converter(announced)

    def _counted(self, pcm: Pcm) -> Pcm:
        self._given += len(pcm)
        return pcm
