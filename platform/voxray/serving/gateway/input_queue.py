"""How fast a client may send, and how much of its audio waits at the gateway: pure, the clock an argument.

A host says how much audio it accepts (the credit). Audio beyond the credit waits here, at most
`limits.undecoded_s` of it. A client that fills this is either too fast or live: one that sent more than
`limits.overspeed` times real time beyond its credit ignores the credit; for one that did not, the service is
too slow.
"""

from collections import deque
from enum import Enum

from voxray.serving.protocol import Control
from voxray.serving.settings import Limits
from voxray.serving.token_bucket import TokenBucket
from voxray.wire import MAX_CREDIT_BYTES

BURST_S = 5.0  # of audio that may come at once beyond the credit and still counts as live
CONTAINER_BYTES = 4 << 20  # that wait of a container, whose seconds are not known before it is decoded
MAX_BATCH_BYTES = 256 << 10  # of one client in one tick, which all clients of a host share
MAX_WAITING_BYTES = 16 << 20  # beyond the credit, whatever rate and channels a client claims


class Admission(Enum):
    """Whether input was accepted. Only ACCEPTED input is kept."""

    ACCEPTED = "accepted"
    LAGGING = "lagging"
    TOO_FAST = "too_fast"


class InputQueue:
    """Audio and controls of one client that have not gone on to its host, in order.

    `waiting` is in bytes. Until `set_credit`, the credit is that of a new session.
    """

    def __init__(self, bytes_per_second: int | None, limits: Limits) -> None:
        seconds = limits.undecoded_s
        capacity = CONTAINER_BYTES if bytes_per_second is None else round(seconds * bytes_per_second)
        rate = capacity / seconds
        self.capacity = min(capacity, MAX_WAITING_BYTES)
        self.credit = min(capacity, MAX_CREDIT_BYTES)
        self.waiting = 0
        self._speed = TokenBucket(limits.overspeed * rate, BURST_S * rate)
        self._finalizes = TokenBucket(limits.finalizes_per_s, max(1.0, limits.finalizes_per_s))
        self._items: deque[bytearray | Control] = deque()

    def __bool__(self) -> bool:
        """Return whether anything waits."""
        return bool(self._items)

    def receive_audio(self, data: bytes, now_s: float) -> Admission:
        """Append `data`, unless too much waits already."""
        beyond = len(data) - max(0, self.credit - self.waiting)
        live = self._speed.consume(max(0, beyond), now_s)
        if self.waiting + len(data) > self.credit + self.capacity:
            return Admission.LAGGING if live else Admission.TOO_FAST
        self._append(data)
        return Admission.ACCEPTED

    def receive_finalize(self, now_s: float) -> Admission:
        """Append a `finalize`, unless they exceed `limits.finalizes_per_s`: each of them costs a decode."""
        if not self._finalizes.consume(1, now_s):
            return Admission.TOO_FAST
        self._items.append(Control(stop=False))
        return Admission.ACCEPTED

    def receive_stop(self) -> None:
        """Append a `stop`."""
        self._items.append(Control(stop=True))

    def set_credit(self, credit_bytes: int) -> None:
        """Set how much the host accepts now, beyond all that has been popped."""
        self.credit = credit_bytes

    def pop_batch(self) -> tuple[bytes | Control, ...]:
        """Remove and return what goes on now: audio as credit and tick allow, and the controls before it."""
        batch = list[bytes | Control]()
        left = min(self.credit, MAX_BATCH_BYTES)
        while self._items:
            head = self._items[0]
            if isinstance(head, Control):
                batch.append(head)
            elif left > 0:
                batch.append(part := self._pop_part(head, left))
                left -= len(part)
            if isinstance(head, bytearray) and head:
                break
            self._items.popleft()
        return tuple(batch)

    def clear(self) -> None:
        """Discard all that waits."""
        self._items.clear()
        self.waiting = 0

    def _append(self, data: bytes) -> None:
        """Merge `data` into the audio before it: a million frames of a byte must not be a million objects."""
        if not data:
            return
        if self._items and isinstance(last := self._items[-1], bytearray):
            last += data
        else:
            self._items.append(bytearray(data))
        self.waiting += len(data)

    def _pop_part(self, audio: bytearray, limit: int) -> bytes:
        part = bytes(audio[:limit])
        del audio[: len(part)]
        self.credit -= len(part)
        self.waiting -= len(part)
        return part
