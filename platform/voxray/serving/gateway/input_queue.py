"""How fast a client may send, and how much of it waits at the gateway: pure, the clock an argument.

A host says how much audio it takes (the credit). What came beyond that waits here, at most
`limits.undecoded_s` more. Past that something is wrong, and the speed says what: a source that sent more
than `limits.overspeed` times real time beyond its credit ignores the credit; one that did not is live, and
the service lags behind it.
"""

from collections import deque
from enum import Enum

from voxray.serving.protocol import Control
from voxray.serving.settings import Limits
from voxray.serving.token_bucket import TokenBucket
from voxray.wire import MAX_CREDIT_BYTES

BURST_S = 5.0  # of audio that may come at once beyond the credit and still counts as live
CONTAINER_BYTES = 4 << 20  # that wait of a container, whose seconds are not known before it is decoded
MAX_TAKEN_BYTES = 256 << 10  # that go on at once: one client must not fill a tick that is everybody's
MAX_WAITING_BYTES = 16 << 20  # beyond the credit, whatever rate and channels a client claims


class Verdict(Enum):
    """On what just came. Only what FITS is kept."""

    FITS = "fits"
    LAGGING = "lagging"
    TOO_FAST = "too_fast"


class InputQueue:
    """What came from one client and has not gone on to its host: audio and controls, in order.

    `waiting` is in bytes. Until the host says otherwise, the credit is that of a new session.
    """

    def __init__(self, bytes_per_second: int | None, limits: Limits) -> None:
        seconds = limits.undecoded_s
        room = CONTAINER_BYTES if bytes_per_second is None else round(seconds * bytes_per_second)
        rate = room / seconds
        self.room = min(room, MAX_WAITING_BYTES)
        self.credit = min(room, MAX_CREDIT_BYTES)
        self.waiting = 0
        self._speed = TokenBucket(limits.overspeed * rate, BURST_S * rate)
        self._finalizes = TokenBucket(limits.finalizes_per_s, max(1.0, limits.finalizes_per_s))
        self._items: deque[bytearray | Control] = deque()

    def __bool__(self) -> bool:
        """Whether anything is left to go on."""
        return bool(self._items)

    def receive_audio(self, data: bytes, now_s: float) -> Verdict:
        """Keep `data` behind what is here, unless that is too much."""
        beyond = len(data) - max(0, self.credit - self.waiting)
        live = self._speed.consume(max(0, beyond), now_s)
        if self.waiting + len(data) > self.credit + self.room:
            return Verdict.LAGGING if live else Verdict.TOO_FAST
        self._keep(data)
        return Verdict.FITS

    def receive_finalize(self, now_s: float) -> Verdict:
        """Keep a `finalize`, unless more than `limits.finalizes_per_s` come; each of them costs a decode."""
        if not self._finalizes.consume(1, now_s):
            return Verdict.TOO_FAST
        self._items.append(Control(stop=False))
        return Verdict.FITS

    def stop(self) -> None:
        """A `stop` behind all that is here."""
        self._items.append(Control(stop=True))

    def grant(self, credit_bytes: int) -> None:
        """The host takes as much as this now, after all that has been taken from here."""
        self.credit = credit_bytes

    def take(self) -> tuple[bytes | Control, ...]:
        """What goes on now: as much audio as the credit and one tick allow, and the controls in it."""
        taken = list[bytes | Control]()
        left = min(self.credit, MAX_TAKEN_BYTES)
        while self._items:
            head = self._items[0]
            if isinstance(head, Control):
                taken.append(head)
            elif left > 0:
                taken.append(part := self._part(head, left))
                left -= len(part)
            if isinstance(head, bytearray) and head:
                break
            self._items.popleft()
        return tuple(taken)

    def drop(self) -> None:
        """Forget all of it: nobody waits for it any more."""
        self._items.clear()
        self.waiting = 0

    def _keep(self, data: bytes) -> None:
        """One run of audio is one item: a million frames of a byte must not be a million objects."""
        if not data:
            return
        if self._items and isinstance(last := self._items[-1], bytearray):
            last += data
        else:
            self._items.append(bytearray(data))
        self.waiting += len(data)

    def _part(self, run: bytearray, most: int) -> bytes:
        part = bytes(run[:most])
        del run[: len(part)]
        self.credit -= len(part)
        self.waiting -= len(part)
        return part
