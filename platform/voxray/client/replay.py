"""What a client sends and may have to send again: audio, with `finalize` and `stop` between."""

from collections import deque
from dataclasses import dataclass

from voxray.errors import WireError

HELD_ACKS = 5  # once a second: after these, a second answer that did not come does not come any more


@dataclass(frozen=True, slots=True)
class Mark:
    """`finalize` or `stop`, to be sent after all audio before byte `position`."""

    position: int
    stop: bool = False


class Replay:
    """Audio from the first byte that the server may ask for again, and the marks that are not answered.

    Positions are audio bytes from the session's start. The audio up to `sent` was handed over on this
    connection or an earlier one; `rewind` begins a new connection.
    """

    def __init__(self) -> None:
        self.start = self.sent = 0
        self._audio = bytearray()
        self._marks: deque[Mark] = deque()
        self._marks_sent = 0
        self._twice: int | None = None  # a mark here was sent twice, and may be answered twice
        self._acks_left = 0  # for how many more acks that may be waited for

    @property
    def end(self) -> int:
        """The byte after the last."""
        return self.start + len(self._audio)

    @property
    def held(self) -> int:
        """How many bytes are in memory."""
        return len(self._audio)

    @property
    def unsent(self) -> int:
        """How many bytes are still to be handed over."""
        return self.end - self.sent

    @property
    def unanswered(self) -> bool:
        """Whether a mark was handed over and not answered."""
        return self._marks_sent > 0

    @property
    def stopping(self) -> bool:
        """Whether the last mark is a stop, after which nothing may come."""
        return bool(self._marks) and self._marks[-1].stop

    @property
    def complete(self) -> bool:
        """Whether it is to stop and nothing is left to send: `done` may come, also from before a loss."""
        return self.stopping and not self.unsent

    def append(self, audio: bytes) -> None:
        """Append audio."""
        self._audio += audio

    def mark(self, *, stop: bool) -> None:
        """Append `finalize` or `stop` after the audio so far."""
        self._marks.append(Mark(self.end, stop))

    def next_to_send(self, limit: int, most: int) -> bytes | Mark | None:
        """Return what goes next: at most `most` bytes of audio before byte `limit`, or a mark; None: wait."""
        mark = self._marks[self._marks_sent] if self._marks_sent < len(self._marks) else None
        if mark and mark.position <= self.sent:
            if self._confusable(mark):
                return None
            self._marks_sent += 1
            return mark
        stop = min(self.end, limit, self.sent + most, mark.position if mark else self.end)
        if stop <= self.sent:
            return None
        audio = bytes(memoryview(self._audio)[self.sent - self.start : stop - self.start])
        self.sent = stop
        return audio

    def drop_before(self, position: int) -> None:
        """Forget the audio before `position`, which will not be asked for again."""
        count = min(position, self.sent) - self.start
        if count > 0:
            del self._audio[:count]
            self.start += count

    def answered(self) -> bool:
        """Handle a `finalized`: return whether it answers a mark. A second answer to one mark does not."""
        if not self._marks_sent or self._marks[0].stop:
            return False
        self._marks.popleft()
        self._marks_sent -= 1
        return True

    def acknowledged(self, received: int, keep_from: int) -> int:
        """Handle an `ack`: return how many marks it shows to be answered by messages that were lost.

        The server keeps what a `finalize` flushes until it has answered it.
        """
        missed = 0
        while self._awaits(min(received - 1, keep_from)) and self.answered():
            missed += 1
        if self._twice is not None and received > self._twice:
            self._acks_left -= 1
            if self._acks_left < 0 or not self._awaits(self._twice):
                self._twice = None  # answers to both came before this, as the audio after them did
        return missed

    def finished(self) -> int:
        """Handle a `done`: return how many `finalize` it answers too, their own answers being lost."""
        count = sum(not m.stop for m in self._marks)
        self._marks = deque(m for m in self._marks if m.stop)
        return count

    def rewind(self, received: int, *, kept: bool) -> None:
        """Go on at byte `received` on a new connection; marks without an answer are sent again.

        Where the server `kept` the session, it has got the marks before `received`, which are not sent again:
        they would flush what followed them. A mark at `received` may have been lost; twice does no harm.
        Raises WireError where byte `received` is gone, or never was.
        """
        if not self.start <= received <= self.end:
            raise WireError(
                f"ready: expected received_bytes from {self.start} to {self.end}, which are still here, got "
                f"{received}."
            )
        sent = list(self._marks)[: self._marks_sent] if kept else []
        self.sent = received
        self._marks_sent = sum(m.position < received for m in sent)
        if any(m.position == received for m in sent):
            self._twice, self._acks_left = received, HELD_ACKS
        elif not kept:
            self._twice = None

    def _awaits(self, position: int) -> bool:
        return bool(self._marks_sent) and self._marks[0].position <= position

    def _confusable(self, mark: Mark) -> bool:
        """Whether the second answer to a mark before it could still be taken for the answer to `mark`."""
        return self._twice is not None and not mark.stop and mark.position > self._twice
