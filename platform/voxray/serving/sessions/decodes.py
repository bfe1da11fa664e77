"""The decodes of one session on their way to a transcriber and back."""

from dataclasses import dataclass, field

from voxray.serving.protocol import Answer
from voxray.streaming.events import DecodeRequest
from voxray.streaming.session import Session


@dataclass(slots=True)
class Decodes:
    """At most one request waits to be taken, the newest; any number have been taken and not answered."""

    session: Session
    _waiting: DecodeRequest | None = None
    _taken: dict[int, DecodeRequest] = field(default_factory=dict)

    @property
    def waiting(self) -> bool:
        """Whether there is a request to be taken that the session still wants."""
        return self._waiting is not None and self._waiting.start >= self.session.keep_from

    @property
    def outstanding(self) -> int:
        """How many were taken and not answered."""
        return len(self._taken)

    def collect(self, now_s: float) -> None:
        """Let what the session asks for wait to be taken."""
        while requests := self.session.requests_to_run():
            for request in requests:
                old, self._waiting = self._waiting, request
                if old:
                    self.session.receive_superseded(old.id, now_s)

    def take(self) -> DecodeRequest | None:
        """The request that waits. One whose final went out meanwhile is left out: its audio is gone."""
        request, wanted = self._waiting, self.waiting
        self._waiting = None
        if request is None or not wanted:
            return None
        self._taken[request.id] = request
        return request

    def receive(self, answer: Answer, now_s: float) -> DecodeRequest | None:
        """Tell the session; the request that was answered, None where there is no such one."""
        request = self._taken.pop(answer.number, None)
        if request is None:
            return None
        if answer.hypothesis is not None:
            self.session.receive_hypothesis(request.id, answer.hypothesis, now_s)
        elif answer.superseded:
            self.session.receive_superseded(request.id, now_s)
        else:
            self.session.receive_failure(request.id, now_s)
        self.collect(now_s)
        return request

    def requeue(self, now_s: float) -> None:
        """Nothing that was taken will be answered: the newest request waits, the others are superseded."""
        lost = [self._taken[number] for number in sorted(self._taken)]
        self._taken.clear()
        if lost and self._waiting is None:
            self._waiting = lost.pop()
        for request in lost:
            self.session.receive_superseded(request.id, now_s)
        self.collect(now_s)
