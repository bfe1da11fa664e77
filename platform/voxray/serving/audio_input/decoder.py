"""Bytes as a client sends them in, 16 kHz mono int16 out, and which byte is which sample.

One intake per session. Bytes are counted over the session: the first that its client ever sent is byte 0,
also where an intake takes over from one that was lost. Samples count from the same moment.
"""

from typing import Protocol

import numpy as np

from voxray.errors import AudioError, WireError
from voxray.serving.audio_input import magic, riff
from voxray.serving.audio_input.pcm import Converter, Format, nothing
from voxray.streaming.audio_buffer import Pcm
from voxray.wire import MAX_CREDIT_BYTES, Start

_THINNEST = Format("pcm_s16le", 1, riff.MIN_RATE)  # a RIFF header can make no byte last longer


class AudioDecoder(Protocol):
    """What a session's bytes become."""

    received: int
    """The position after the last byte that was taken; that is the first byte to come."""

    @property
    def resumable(self) -> bool:
        """Whether another intake can go on from the middle; False where a header would be missing."""
        ...

    @property
    def ended(self) -> bool:
        """After `finish`: all samples have been given."""
        ...

    def feed(self, data: bytes) -> Pcm:
        """The samples that are ready after `data`, which may be cut anywhere, or be empty (to ask again).

        AudioError, in one sentence, where it cannot be audio.
        """
        ...

    def finish(self) -> Pcm:
        """No bytes follow: the rest of the samples; what is less than a frame is dropped.

        Containers give what is there, at most about 4 s at once: call it again, later, until `ended`.
        AudioError as `feed`.
        """
        ...

    def sample_of(self, byte: int) -> int:
        """The sample during which what begins at `byte` is heard."""
        ...

    def byte_of(self, sample: int) -> int:
        """The first byte to be sent again for `sample` and what follows to be heard again.

        It begins a frame and never decreases: `sample_of(byte_of(sample)) <= sample`. Where the intake is
        not `resumable` it is `received`, for nothing before that can be of use.
        """
        ...

    def credit(self, room: int) -> int:
        """How many more bytes may come so that at most `room` samples do."""
        ...

    def close(self) -> None:
        """Free what it holds; nothing may follow."""
        ...


def decoder_for(start: Start, at_byte: int = 0) -> AudioDecoder:
    """The intake of what `start` announces, from byte `at_byte` on.

    Raises WireError where one cannot begin there: not between two frames, or in the middle of a container.
    """
    if start.encoding != "container":
        return PcmDecoder(start, at_byte)
    if at_byte:
        raise WireError(f"from_byte: expected 0, for a container has to begin anew, and {at_byte} came.")
    from voxray.serving.audio_input.container import ContainerDecoder  # here: FFmpeg only where it is needed

    return ContainerDecoder()


class PcmDecoder:
    """PCM of any rate and number of channels; at byte 0 a RIFF/WAVE header may say which, and where it ends.

    What comes after that end is dropped.
    """

    def __init__(self, start: Start, at_byte: int = 0) -> None:
        if at_byte % start.frame_bytes:
            raise WireError(
                f"from_byte: expected a multiple of {start.frame_bytes}, and {at_byte} came; a frame of "
                f"{start.channels} x {start.encoding} has {start.frame_bytes} bytes."
            )
        self.received = at_byte
        self.resumable = True
        self.ended = False
        self._start = at_byte
        self._origin = 0  # where frame 0 begins: after a RIFF header
        self._end: int | None = None  # of the audio, where a RIFF header says so
        self._undecided = at_byte == 0  # whether a RIFF header may still come
        self._held = b""  # less than a frame, or less than a header
        self._converter = Converter(Format(start.encoding, start.channels, start.sample_rate))
        self._given = self.sample_of(at_byte)

    @property
    def form(self) -> Format:
        """What the audio is taken for."""
        return self._converter.form

    def feed(self, data: bytes) -> Pcm:
        """See `AudioDecoder`; a view of `data` where the audio is 16 kHz mono int16 already."""
        self.received += len(data)
        if self._held:
            data = self._held + data
            self._held = b""
        if self._undecided:
            data = self._decided(data)
        data = self._within(data)
        whole = len(data) - len(data) % self.form.frame_bytes
        if whole < len(data):
            data, self._held = data[:whole], data[whole:]
        return self._counted(self._converter.convert(data)) if data else nothing()

    def finish(self) -> Pcm:
        """See `AudioDecoder`."""
        if self.ended:
            return nothing()
        if self._undecided and len(self._held) >= riff.MAGIC_BYTES:
            self._held = b""  # a header that was cut off; less than that was audio after all
        self._undecided = False
        rest = self.feed(b"")
        self.ended = True
        return np.concatenate([rest, self._counted(self._converter.finish())])

    def sample_of(self, byte: int) -> int:
        """See `AudioDecoder`."""
        byte = byte if self._end is None else min(byte, self._end)
        return self.form.sample_of(max(0, byte - self._origin) // self.form.frame_bytes)

    def byte_of(self, sample: int) -> int:
        """See `AudioDecoder`."""
        if not self.resumable:
            return self.received
        byte = self._origin + self.form.frame_before(sample) * self.form.frame_bytes
        return max(self._start, byte if byte > self._origin else 0)

    def credit(self, room: int) -> int:
        """See `AudioDecoder`; while a RIFF header may come, what any allows; after its end, any bytes."""
        if self._end is not None and self.received >= self._end:
            return MAX_CREDIT_BYTES if room > 0 else 0
        credit = self._credit(self.form, room)
        return min(credit, self._credit(_THINNEST, room)) if self._undecided else credit

    def close(self) -> None:
        """See `AudioDecoder`; there is nothing to free."""

    def _credit(self, form: Format, room: int) -> int:
        until = self._origin + form.frames_within(self._given + room) * form.frame_bytes
        return min(max(0, until - self.received), MAX_CREDIT_BYTES)

    def _decided(self, data: bytes) -> bytes:
        """The audio in `data`, the start of the stream; nothing (and it is held) while it may be a header."""
        if not data:
            return data
        if name := magic.container(data):
            raise AudioError(
                f"audio: expected {self.form.encoding}, and a {name} file came; "
                "send it with encoding container in start."
            )
        if not (riff.may_begin(data) or magic.may_begin(data)):
            self._undecided = False
            return data
        header = riff.parse_header(data) if len(data) >= riff.MAGIC_BYTES else None
        if header is None:
            self._held = data
            return b""
        self._undecided = False
        self._begin_after(header)
        return data[header.length :]

    def _within(self, data: bytes) -> bytes:
        """What of `data`, the last bytes that came, is audio."""
        if self._end is None or self.received <= self._end:
            return data
        return data[: max(0, self._end - self.received + len(data))]

    def _begin_after(self, header: riff.PcmHeader) -> None:
        """Take the header's word; another intake, which has none, can only go on where it says the same."""
        frame_bytes = self.form.frame_bytes
        self.resumable = header.form == self.form and header.length % frame_bytes == 0
        self._origin = header.length
        self._end = None if header.audio_bytes is None else header.length + header.audio_bytes
        self._converter = Converter(header.form)

    def _counted(self, pcm: Pcm) -> Pcm:
        self._given += len(pcm)
        return pcm
