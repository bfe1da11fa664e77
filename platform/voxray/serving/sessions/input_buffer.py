"""Audio and controls on their way from a client into its session, in the order in which they were sent.

    push --bytes, controls--> AudioDecoder --samples--> next

Samples that the session has no room for wait here; those of a container also undecoded, in its decoder.
"""

from collections import deque

from voxray.audio import Pcm
from voxray.errors import AudioError
from voxray.serving.audio_input.decoder import AudioDecoder
from voxray.serving.audio_input.pcm import NO_SAMPLES
from voxray.serving.protocol import Control

SETTLED_S = 0.1  # without new samples, a container's thread has decoded all that it can
FINISH_S = 5.0  # for a container that has ended to give more samples; decoding those takes milliseconds


class InputBuffer:
    """The input of one client. Positions are samples; `end` is the end of the decoded audio.

    `delayed`: the decoder has a thread of its own, so that samples come some time after their bytes.
    """

    def __init__(self, decoder: AudioDecoder, at: int, *, delayed: bool = False) -> None:
        self.decoder = decoder
        self.start = self.end = at
        self._delayed = delayed
        self._changed_s = 0.0  # when the decoder last got bytes or gave samples
        self._stalled_s: float | None = None  # since when a container that has ended gives nothing
        self._undecoded: deque[bytes | Control] = deque()
        self._decoded: deque[Pcm | Control] = deque()
        self._passed_on = at  # where the session's audio ends

    @property
    def received(self) -> int:
        """The position of the next byte to be received."""
        return self.decoder.received + self.undecoded

    @property
    def undecoded(self) -> int:
        """The bytes behind a control that waits until a container's audio before it has been decoded."""
        return sum(len(item) for item in self._undecoded if isinstance(item, bytes))

    @property
    def waiting(self) -> int:
        """The samples that the session had no room for."""
        return self.end - self._passed_on

    @property
    def empty(self) -> bool:
        """Whether nothing can be decoded or passed on before more is pushed."""
        return not (self._undecoded or self._decoded or (self._delayed and not self.decoder.ended))

    def push(self, item: bytes | Control) -> None:
        """Add what the client sent. Call `decode` afterwards."""
        self._undecoded.append(item)

    def decode(self, room: int, now_s: float) -> int:
        """Decode what was pushed, of a container as much as fills `room`; return the number of new samples.

        Call `next` afterwards, until it returns None. Raises AudioError for bytes that are not audio.
        """
        before = self.end
        while (pcm := self._step(room, now_s)) is not None:
            if len(pcm):
                self._decoded.append(pcm)
                self.end += len(pcm)
                self._changed_s = now_s
        return self.end - before

    def next(self, room: int) -> Pcm | Control | None:
        """Return what the session gets next, at most `room` samples; None if nothing is there or fits."""
        if not self._decoded:
            return None
        item = self._decoded[0]
        if isinstance(item, Control):
            self._decoded.popleft()
            return item
        return self._cut(item, room) if room > 0 else None

    def stop(self) -> None:
        """End here: drop what is not decoded, and let one `stop` follow what is."""
        self._undecoded.clear()
        if not any(isinstance(item, Control) and item.stop for item in self._decoded):
            self._decoded.append(Control(stop=True))
        self._delayed = False

    def _step(self, room: int, now_s: float) -> Pcm | None:
        """Take one step: return samples, none if only the state changed; None if nothing can be done."""
        head = self._undecoded[0] if self._undecoded else None
        if isinstance(head, bytes):
            self._undecoded.popleft()
            self._changed_s = now_s
            return self.decoder.feed(head)
        if self._delayed and self.waiting >= room:
            self._stalled_s = None  # the decoder's thread may be waiting for us
            return None
        if head and head.stop and not self.decoder.ended:
            return self._finish(now_s)
        if self._delayed and not self.decoder.ended and len(late := self.decoder.feed(b"")):
            return late
        settled = not self._delayed or self.decoder.ended or now_s - self._changed_s >= SETTLED_S
        if head is None or not settled:
            return None
        self._decoded.append(head)
        self._undecoded.popleft()
        return NO_SAMPLES

    def _finish(self, now_s: float) -> Pcm | None:
        """Return samples before a stop; None if the decoder holds more and has not decoded them yet."""
        pcm = self.decoder.finish()
        if len(pcm) or self.decoder.ended:
            self._stalled_s = None
            return pcm
        self._stalled_s = now_s if self._stalled_s is None else self._stalled_s
        if now_s - self._stalled_s > FINISH_S:
            raise AudioError(f"audio: expected its end to be decoded within {FINISH_S:g} s, got nothing.")
        return None

    def _cut(self, pcm: Pcm, room: int) -> Pcm:
        head, rest = pcm[:room], pcm[room:]
        if len(rest):
            self._decoded[0] = rest
        else:
            self._decoded.popleft()
        self._passed_on += len(head)
        return head
