"""The decodes of one session on their way to a transcriber and back."""

from dataclasses import dataclass, field

from voxray.serving.protocol import Answer
from voxray.streaming.events import DecodeRequest
from voxray.streaming.session import Session


@dataclass(slots=True)
class DecodeQueue:
    """At most one request waits for a transcriber, the newest; any number are running."""

    session: Session
    _waiting: DecodeRequest | None = None
    _running: dict[int, DecodeRequest] = field(default_factory=dict)

    @property
    def waiting(self) -> bool:
        """Whether a request waits that the session still needs."""
        return self._waiting is not None and self._waiting.start >= self.session.decode_from

    def collect(self, now_s: float) -> None:
        """Queue the session's new request, in the place of the one that waits."""
        while requests := self.session.requests_to_run():
            for request in requests:
                superseded, self._waiting = self._waiting, request
                if superseded:
                    self.session.receive_failure(superseded.id, now_s)

    def request_to_run(self) -> DecodeRequest | None:
        """Hand out the request that waits. None if its final was sent meanwhile, which frees its audio."""
        request, needed = self._waiting, self.waiting
        self._waiting = None
        if request is None or not needed:
            return None
        self._running[request.id] = request
        return request

    def receive_answer(self, answer: Answer, now_s: float) -> DecodeRequest | None:
        """Pass an answer to the session, and return its request; None if that is not running."""
        request = self._running.pop(answer.number, None)
        if request is None:
            return None
        if answer.hypothesis is not None:
            self.session.receive_hypothesis(request.id, answer.hypothesis, now_s, answer.queued_s)
        else:
            self.session.receive_failure(request.id, now_s)
        self.collect(now_s)
        return request

    def requeue(self, now_s: float) -> None:
        """Give up all running requests: the newest waits again, the others count as failed."""
        lost = [self._running[number] for number in sorted(self._running)]
        self._running.clear()
        if lost and self._waiting is None:
            self._waiting = lost.pop()
        for request in lost:
            self.session.receive_failure(request.id, now_s)
        self.collect(now_s)
