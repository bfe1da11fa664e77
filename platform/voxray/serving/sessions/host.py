"""Many clients in one process, as their gateways and a transcriber see them. Pure: the clock is an argument.

Each call of a gateway brings what came for all of its clients and takes what they are to be sent; each fault
ends the one session that it is in. Times are seconds on the host's monotonic clock.
"""

import hmac
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from voxray.errors import AudioError, WireError
from voxray.serving.audio_input.voice_activity import VoiceActivityDetector
from voxray.serving.protocol import Answer, Call, Input, Job, Opened, Opening, Output, Refused, Reply
from voxray.serving.sessions.buffer_manager import BufferManager, Key
from voxray.serving.sessions.gateway_state import GatewayState, GatewayStates
from voxray.serving.sessions.latency import Observe, unobserved
from voxray.serving.settings import Decoding, Limits
from voxray.streaming.audio_buffer import Pcm
from voxray.streaming.events import seconds
from voxray.wire import NO_SEGMENT, Close, Start

log = logging.getLogger(__name__)


def new_secret() -> str:
    """32 hexadecimal digits that nobody can guess."""
    return secrets.token_hex(16)


class SessionHost:
    """Sessions `<number>.<32 hex>`, at most `limits.sessions_per_actor`. `model` is what `ready` names.

    `observe` is told, under their names: `audio_s` that came, `first_partial_s` and `final_s` (see
    `Latency`), `answer_s` from asking for a decode to its answer, and 1 for each session that was `opened`,
    `resumed`, `failed` by a fault, or `dropped` because nobody came back for it.
    """

    def __init__(
        self,
        number: int,
        limits: Limits,
        decoding: Decoding,
        voice: VoiceActivityDetector,
        *,
        model: str,
        observe: Observe = unobserved,
        secret: Callable[[], str] = new_secret,
    ) -> None:
        self.number, self.model = number, model
        self.languages: tuple[str, ...] = ()  # that the model was trained on; none: not known yet
        self.called_s: float | None = None  # when a gateway last called
        self._limits, self._decoding, self._voice = limits, decoding, voice
        self._observe, self._secret = observe, secret
        self._managers: dict[str, BufferManager] = {}
        self._lines = GatewayStates()
        self._no_token = secret()  # what the tokens of unknown sessions are held against

    # What gateways ask.

    def open(self, opening: Opening, now_s: float) -> Opened | Refused:
        """A session for a connection: a new one, or its old one, or one that takes the place of that."""
        self._called(opening.gateway, now_s)
        found = self._find(opening.start)
        return self._resume(found, opening) if found else self._begin(opening)

    def tick(self, call: Call, now_s: float) -> Reply:
        """Take in what came, and give what the gateway's connections are to be sent.

        The last call again gets its reply again; one from before that gets nothing.
        """
        line = self._called(call.gateway, now_s)
        if call.number <= line.reply.number:
            same = call.number == line.reply.number
            return line.reply if same else Reply(call.number, sessions=self.sessions)
        mine = self._managers_of(call.gateway)
        for manager in mine:
            manager.absent_s = None
        left = self._take(call, line, now_s)
        self._listen(mine, now_s)
        for manager in left:
            self._leave(manager, now_s)
        outputs = [*line.farewells(), *self._outputs(mine, now_s)]
        line.reply = Reply(call.number, tuple(outputs), self.sessions)
        return line.reply

    # What a transcriber asks.

    def jobs(self, now_s: float) -> list[Job]:
        """What is to be decoded since the last call."""
        jobs = list[Job]()
        for manager in self._managers.values():
            with self._contained(manager):
                jobs += manager.jobs(now_s)
        return jobs

    def receive(self, answers: Iterable[Answer], now_s: float) -> None:
        """What became of jobs. Answers to what was not asked, or is asked no more, are ignored."""
        for answer in answers:
            manager = self._managers.get(answer.session)
            if manager and manager.closing is None:
                with self._contained(manager):
                    manager.receive(answer, now_s)
        self._listen(self._unsettled(), now_s)

    def requeue(self, now_s: float) -> None:
        """Who took jobs is gone: those that were not answered are to be taken again."""
        for manager in self._managers.values():
            with self._contained(manager):
                manager.requeue(now_s)

    # What time asks.

    def sweep(self, now_s: float) -> None:
        """Give up connections whose gateway is silent, and sessions that nobody came back for."""
        self._listen(self._unsettled(), now_s)
        for manager in list(self._managers.values()):
            if manager.absent_s is None and self._lines.silent(manager.gateway, now_s):
                manager.absent_s = now_s
            kept_s = 0.0 if manager.failed else self._limits.kept_s  # a fault leaves nothing to come back to
            if manager.absent_s is not None and now_s - manager.absent_s > kept_s:
                self._part(manager, Close.RESTART)
                self._drop(manager)
        self._lines.forget(before_s=now_s - self._limits.kept_s)

    # What can be known.

    @property
    def sessions(self) -> int:
        """How many sessions go on, connected or not."""
        return sum(m.closing is None for m in self._managers.values())

    @property
    def gateways(self) -> frozenset[str]:
        """Those that have connections here."""
        return frozenset(m.gateway for m in self._managers.values() if m.gateway and m.absent_s is None)

    @property
    def queued(self) -> int:
        """How many jobs wait to be taken."""
        return sum(m.closing is None and m.decodes.waiting for m in self._managers.values())

    @property
    def outstanding(self) -> int:
        """How many jobs were taken and not answered."""
        return sum(m.decodes.outstanding for m in self._managers.values())

    # Connections.

    def _find(self, start: Start) -> BufferManager | None:
        """The session that is asked for; an unknown one and a wrong token take the same time and answer."""
        found = self._managers.get(start.session or "")
        token = found.key.token if found else self._no_token
        right = hmac.compare_digest(token.encode(), (start.resume_token or "").encode())
        return found if found and right and not found.failed else None

    def _resume(self, manager: BufferManager, opening: Opening) -> Opened | Refused:
        old, new = _form(manager.start), _form(opening.start)
        if old != new:
            return Refused(
                Close.BAD_MESSAGE, "bad_message", f"start: expected {old} as before, and {new} came."
            )
        self._part(manager, Close.RESUMED_ELSEWHERE)
        self._observe("resumed", 1)
        return self._opened(manager, opening)

    def _begin(self, opening: Opening) -> Opened | Refused:
        start = opening.start
        if start.encoding == "container" and (start.from_byte or start.have_segment != NO_SEGMENT):
            return Refused(
                Close.BAD_MESSAGE,
                "not_resumable",
                "expected a container from its first byte on, for nobody here has what came before "
                f"byte {start.from_byte}; send it as a new stream.",
            )
        if start.language and self.languages and start.language not in self.languages:
            known = ", ".join(self.languages)
            message = f"language: expected one that the model knows ({known}), and {start.language!r} came."
            return Refused(Close.BAD_MESSAGE, "bad_message", message)
        if self.sessions >= self._limits.sessions_per_actor:
            most = f"expected at most {self._limits.sessions_per_actor} sessions here, and all are taken."
            return Refused(Close.FULL, "full", most)
        key = Key(f"{self.number}.{self._secret()}", self._secret())
        try:
            manager = BufferManager(
                key, start, self._voice.track(), self._limits, self._decoding, self._observe
            )
        except WireError as e:
            return Refused(Close.BAD_MESSAGE, "bad_message", str(e))
        manager.resumable = opening.resumable
        self._managers[key.session] = manager
        self._observe("opened", 1)
        return self._opened(manager, opening)

    def _opened(self, manager: BufferManager, opening: Opening) -> Opened:
        messages = manager.attach(opening.gateway, self.model, opening.start.have_segment)
        return Opened(
            session=manager.key.session,
            resume_token=manager.key.token,
            epoch=manager.epoch,
            messages=messages,
            credit_bytes=manager.credit_bytes,
            bytes_per_second=manager.start.bytes_per_second,
        )

    def _part(self, manager: BufferManager, close: Close) -> None:
        """The connection that has the session loses it."""
        if line := self._lines.find(manager.gateway):
            line.dismiss(manager.key.session, manager.epoch, close)

    def _leave(self, manager: BufferManager, now_s: float) -> None:
        """Its connection is gone; what nobody can come back for goes with it."""
        manager.detach(now_s)
        if not manager.resumable:
            self._drop(manager)

    def _drop(self, manager: BufferManager) -> None:
        del self._managers[manager.key.session]
        if manager.closing is None and manager.resumable:
            self._observe("dropped", 1)
        with self._contained(manager):
            manager.free()

    def _called(self, gateway: str, now_s: float) -> GatewayState:
        self.called_s = now_s
        return self._lines.called(gateway, now_s)

    # Steps of a call.

    def _take(self, call: Call, line: GatewayState, now_s: float) -> list[BufferManager]:
        """Hand inputs to their sessions; those whose connection is gone."""
        left = list[BufferManager]()
        for came in call.inputs:
            manager = self._managers.get(came.session)
            if manager is None or manager.epoch != came.epoch or manager.gateway != call.gateway:
                self._turn_away(came, manager, line)
                continue
            with self._contained(manager):
                manager.take(came.items, now_s)
            if came.left:
                left.append(manager)
        return left

    def _turn_away(self, came: Input, manager: BufferManager | None, line: GatewayState) -> None:
        """Input of a connection that has no session here, or has it no more."""
        if not came.left:
            newer = manager is not None and manager.epoch != came.epoch
            line.dismiss(came.session, came.epoch, Close.RESUMED_ELSEWHERE if newer else Close.RESTART)

    def _listen(self, managers: Iterable[BufferManager], now_s: float) -> None:
        """What has come becomes samples, the voice hears them, and the sessions go on."""
        fresh = list[tuple[BufferManager, Pcm]]()
        for manager in managers:
            with self._contained(manager):
                pcm = manager.pull(now_s)
                if len(pcm):
                    fresh.append((manager, pcm))
                else:
                    manager.advance(now_s)
        if fresh:
            self._observe("audio_s", sum(seconds(len(pcm)) for _, pcm in fresh))
            self._hear(fresh, now_s)

    def _hear(self, fresh: list[tuple[BufferManager, Pcm]], now_s: float) -> None:
        try:
            heard = self._voice.probabilities([(manager.track, pcm) for manager, pcm in fresh])
        except Exception:  # whose audio it was cannot be told, and what the tracks know neither
            for manager, _ in fresh:
                self._fault(manager)
            return
        for (manager, _), speech in zip(fresh, heard, strict=True):
            with self._contained(manager):
                manager.hear(speech, now_s)

    def _outputs(self, managers: Iterable[BufferManager], now_s: float) -> Iterator[Output]:
        """What connections are sent; after a close they have no session."""
        for manager in managers:
            output = manager.output() if manager.gateway is not None else None
            if output is None:
                continue
            if manager.failed:
                self._drop(manager)
            elif output.close is not None:
                self._leave(manager, now_s)
            yield output

    def _managers_of(self, gateway: str) -> list[BufferManager]:
        return [m for m in self._managers.values() if m.gateway == gateway]

    def _unsettled(self) -> list[BufferManager]:
        return [m for m in self._managers.values() if m.unsettled]

    # Faults.

    @contextmanager
    def _contained(self, manager: BufferManager) -> Iterator[None]:
        """What goes wrong inside ends this session and no other."""
        try:
            yield
        except AudioError as e:
            manager.fail(Close.NOT_AUDIO, "not_audio", str(e))
        except Exception:
            self._fault(manager)

    def _fault(self, manager: BufferManager) -> None:
        """A bug, not the client's doing: it is asked to connect again, for its audio may do in a new session,
        which begins where this one had got to. Whoever does so again and again must know when to give up.
        """
        log.exception("session %s ended by a fault", manager.key.session)
        self._observe("failed", 1)
        message = "expected the session to go on, and a fault of the server ended it; connect again."
        manager.fail(Close.RESTART, "internal", message)


def _form(start: Start) -> str:
    """What audio was announced, in words."""
    if start.encoding == "container":
        return "a container"
    return f"{start.encoding} of {start.channels} channels at {start.sample_rate} Hz"
