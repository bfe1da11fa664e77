"""Audio and controls on their way from a client into its session, in the order in which they were sent.

What the session has no room for waits here as samples; of a container, also undecoded in its intake. The
voice hears samples as they come out of the intake, once, so that it does not matter how long they wait.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voxray.errors import AudioError
from voxray.serving.audio_input.decoder import AudioDecoder
from voxray.serving.audio_input.pcm import nothing
from voxray.serving.protocol import Control
from voxray.streaming.audio_buffer import Pcm
from voxray.streaming.events import FRAME


@dataclass(frozen=True, slots=True)
class Heard:
    """Samples for the session, and the speech probabilities of the frames that are complete with them."""

    pcm: Pcm
    speech: tuple[float, ...]


SETTLED_S = 0.1  # after which a container's thread has decoded all that it was fed, or it never will
FINISH_S = 5.0  # for a container that has ended to give more samples: what it still holds takes milliseconds


class InputBuffer:
    """One client's. Positions are samples; `end` is where the audio that has come out of the intake ends.

    `delayed`: the intake decodes in a thread of its own, so that samples come some time after their bytes.
    """

    def __init__(self, intake: AudioDecoder, at: int, *, delayed: bool = False) -> None:
        self.intake = intake
        self.start = self.end = at
        self._delayed = delayed
        self._changed_s = 0.0  # when bytes went into the intake, or samples came out
        self._owed_s: float | None = None  # since when a container that has ended gives nothing
        self._unread: deque[bytes | Control] = deque()
        self._parts: deque[Pcm | Control] = deque()
        self._passed = at  # what is before it is in the session
        self._speech: deque[float] = deque()
        self._judged = 0  # frames whose probabilities are in the session

    @property
    def received(self) -> int:
        """The first byte that has not come."""
        return self.intake.received + self.unread

    @property
    def unread(self) -> int:
        """Bytes that wait behind a control until a container's audio before it has been decoded."""
        return sum(len(item) for item in self._unread if isinstance(item, bytes))

    @property
    def waiting(self) -> int:
        """Samples that the session had no room for."""
        return self.end - self._passed

    @property
    def empty(self) -> bool:
        """Whether nothing can be pulled or passed on before something is pushed."""
        return not (self._unread or self._parts or (self._delayed and not self.intake.ended))

    def push(self, item: bytes | Control) -> None:
        """What came from the client."""
        self._unread.append(item)

    def pull(self, room: int, now_s: float) -> Pcm:
        """What has become samples, for the voice to hear; of a container, what fills `room`.

        Raises AudioError where it is not audio.
        """
        fresh = list[Pcm]()
        while (pcm := self._read(room, now_s)) is not None:
            if len(pcm):
                self._parts.append(pcm)
                self.end += len(pcm)
                self._changed_s = now_s
                fresh.append(pcm)
        return np.concatenate(fresh) if fresh else nothing()

    def hear(self, speech: Sequence[float]) -> None:
        """The probabilities of the frames that are complete with what was pulled."""
        self._speech.extend(speech)

    def next(self, room: int) -> Heard | Control | None:
        """What the session gets next, at most `room` samples; None where nothing is there or fits."""
        if not self._parts:
            return None
        part = self._parts[0]
        if isinstance(part, Control):
            self._parts.popleft()
            return part
        return self._cut(part, room) if room > 0 else None

    def stop(self) -> None:
        """End here: what was not read is left out, and what was is followed by one `stop`."""
        self._unread.clear()
        if not any(isinstance(part, Control) and part.stop for part in self._parts):
            self._parts.append(Control(stop=True))
        self._delayed = False

    def _read(self, room: int, now_s: float) -> Pcm | None:
        """One step: samples, or none where only the state changed; None where there is nothing to do."""
        head = self._unread[0] if self._unread else None
        if isinstance(head, bytes):
            self._unread.popleft()
            self._changed_s = now_s
            return self.intake.feed(head)
        if self._delayed and self.waiting >= room:
            self._owed_s = None  # its thread may wait for us
            return None
        if head and head.stop and not self.intake.ended:
            return self._finish(now_s)
        if self._delayed and not self.intake.ended and len(late := self.intake.feed(b"")):
            return late
        settled = not self._delayed or self.intake.ended or now_s - self._changed_s >= SETTLED_S
        if head is None or not settled:
            return None
        self._parts.append(head)
        self._unread.popleft()
        return nothing()

    def _finish(self, now_s: float) -> Pcm | None:
        """Samples before a stop; None where those that are left are not there yet."""
        pcm = self.intake.finish()
        if len(pcm) or self.intake.ended:
            self._owed_s = None
            return pcm
        self._owed_s = now_s if self._owed_s is None else self._owed_s
        if now_s - self._owed_s > FINISH_S:
            raise AudioError(f"audio: expected its end within {FINISH_S:g} s, and it takes longer to decode.")
        return None

    def _cut(self, part: Pcm, room: int) -> Heard:
        pcm, rest = part[:room], part[room:]
        if len(rest):
            self._parts[0] = rest
        else:
            self._parts.popleft()
        self._passed += len(pcm)
        complete = (self._passed - self.start) // FRAME - self._judged
        speech = tuple(self._speech.popleft() for _ in range(min(complete, len(self._speech))))
        self._judged += len(speech)
        return Heard(pcm, speech)
