"""Many clients in one process, as their gateways and a transcriber see them. Pure: the clock is an argument.

Each call of a gateway carries the input of all of its clients, and its reply their output. A fault ends only
the session in which it occurs. Times are seconds on the host's monotonic clock.
"""

import hmac
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from voxray.errors import AudioError, WireError
from voxray.serving.audio_input.voice_activity import VoiceActivityDetector
from voxray.serving.observe import Observe, unobserved
from voxray.serving.protocol import (
    Answer,
    Call,
    Input,
    Job,
    Opened,
    Opening,
    Output,
    Preload,
    Refused,
    Reply,
    unknown_language,
)
from voxray.serving.sessions.buffer_manager import BufferManager, SessionKey
from voxray.serving.sessions.final_recorder import FinalSinks, no_sink
from voxray.serving.sessions.gateway_state import GatewayState, GatewayStates
from voxray.serving.settings import Decoding, Limits
from voxray.streaming.events import seconds
from voxray.wire import NO_SEGMENT, Close, Start

log = logging.getLogger(__name__)


def new_secret() -> str:
    """Return 32 hexadecimal digits that cannot be guessed."""
    return secrets.token_hex(16)


class SessionHost:
    """Sessions `<number>.<32 hex>`, at most `limits.sessions_per_actor`.

    `model` is the name of the transcriber's default model, for `Ready`; `languages` those that each model was
    trained on, by its name (None for the default), as far as they are known.
    `new_detector` makes the voice activity detector of a new session. `observe` receives `audio_s`,
    `first_partial_s` and `final_s` (see `Latency`), `answer_s` from a decode request to its answer, and 1 for
    each session that was `opened`, `resumed`, `failed` by a fault, or `dropped` because no client resumed it.
    `sink_of` returns where the finals of a key go.
    """

    def __init__(
        self,
        number: int,
        limits: Limits,
        decoding: Decoding,
        new_detector: Callable[[], VoiceActivityDetector],
        *,
        model: str,
        observe: Observe = unobserved,
        secret: Callable[[], str] = new_secret,
        sink_of: FinalSinks = no_sink,
    ) -> None:
        self.number, self.model = number, model
        self.languages: Mapping[str | None, tuple[str, ...]] = {}
        self._limits, self._decoding, self._new_detector = limits, decoding, new_detector
        self._observe, self._secret, self._sink_of = observe, secret, sink_of
        self._managers: dict[str, BufferManager] = {}
        self._preloads: list[Preload] = []
        self._gateways = GatewayStates()
        self._no_token = secret()  # tokens for unknown sessions are compared with it

    # Calls of gateways.

    def open(self, opening: Opening, now_s: float) -> Opened | Refused:
        """Open a session for a connection: its old one, or a new one."""
        self._gateways.receive_call(opening.gateway, now_s)
        found = self._find(opening.start)
        return self._resume(found, opening) if found else self._begin(opening)

    def tick(self, call: Call, now_s: float) -> Reply:
        """Receive the input of the gateway's connections, and return their output.

        The last call, repeated, gets its reply again; one before that gets an empty reply.
        """
        gateway = self._gateways.receive_call(call.gateway, now_s)
        if call.number <= gateway.reply.number:
            same = call.number == gateway.reply.number
            return gateway.reply if same else Reply(call.number, sessions=self.sessions)
        managers = [m for m in self._managers.values() if m.gateway == call.gateway]
        for manager in managers:
            manager.absent_s = None
        left = self._receive_input(call, gateway, now_s)
        self._process(managers, now_s)
        for manager in left:
            self._detach(manager, now_s)
        outputs = [*gateway.closings(), *self._outputs(managers, now_s)]
        gateway.reply = Reply(call.number, tuple(outputs), self.sessions)
        return gateway.reply

    # Calls of a transcriber.

    def preloads(self) -> list[Preload]:
        """Return the models to load since the last call."""
        preloads, self._preloads = self._preloads, []
        return preloads

    @property
    def models_in_use(self) -> frozenset[str]:
        """The models of live sessions, by name, the default left out."""
        models = (m.start.model for m in self._managers.values() if m.closing is None)
        return frozenset(model for model in models if model is not None)

    def jobs(self, now_s: float) -> list[Job]:
        """Return the windows to decode since the last call."""
        jobs = list[Job]()
        for manager in self._managers.values():
            with self._contained(manager):
                if job := manager.next_job(now_s):
                    jobs.append(job)
        return jobs

    def receive_answers(self, answers: Iterable[Answer], now_s: float) -> None:
        """Receive the answers to jobs; an answer to any other is ignored."""
        for answer in answers:
            if manager := self._managers.get(answer.session):
                with self._contained(manager):
                    manager.receive_answer(answer, now_s)
        self._process(self._busy(), now_s)

    def requeue(self, now_s: float) -> None:
        """Hand out unanswered jobs again: the transcriber that had them is lost."""
        for manager in self._managers.values():
            with self._contained(manager):
                manager.requeue(now_s)

    # The passing of time.

    def sweep(self, now_s: float) -> None:
        """Detach the connections of silent gateways, and drop sessions that no client has resumed in time."""
        self._process(self._busy(), now_s)
        for manager in list(self._managers.values()):
            if manager.absent_s is None and self._gateways.silent(manager.gateway, now_s):
                manager.absent_s = now_s
            kept_s = 0.0 if manager.failed else self._limits.kept_s  # a failed session cannot be resumed
            if manager.absent_s is not None and now_s - manager.absent_s > kept_s:
                self._close_connection(manager, Close.RESTART)
                self._drop(manager)
        self._gateways.forget(before_s=now_s - self._limits.kept_s)

    # Load.

    @property
    def sessions(self) -> int:
        """The number of sessions that are not over, with or without a connection."""
        return sum(m.closing is None for m in self._managers.values())

    @property
    def gateways(self) -> frozenset[str]:
        """The gateways that have connections here."""
        return frozenset(m.gateway for m in self._managers.values() if m.gateway and m.absent_s is None)

    @property
    def queued(self) -> int:
        """The number of jobs that wait to be handed out, and of models to load."""
        waiting = sum(m.closing is None and m.decodes.waiting for m in self._managers.values())
        return waiting + len(self._preloads)

    # Connections.

    def _find(self, start: Start) -> BufferManager | None:
        """Find a session to resume; an unknown one and a wrong token take the same time."""
        found = self._managers.get(start.session or "")
        token = found.key.token if found else self._no_token
        right = hmac.compare_digest(token.encode(), (start.resume_token or "").encode())
        return found if found and right and not found.failed else None

    def _resume(self, manager: BufferManager, opening: Opening) -> Opened | Refused:
        old, new = _format(manager.start), _format(opening.start)
        if old != new:
            message = f"start: expected {old} as before, got {new}."
            return Refused(Close.BAD_MESSAGE, "bad_message", message)
        self._close_connection(manager, Close.RESUMED_ELSEWHERE)
        self._observe("resumed", 1)
        return self._opened(manager, opening)

    def _begin(self, opening: Opening) -> Opened | Refused:
        if refused := self._refusal(opening.start, self.languages.get(opening.start.model, ())):
            return refused
        key = SessionKey(f"{self.number}.{self._secret()}", self._secret())
        settings = (self._new_detector(), self._limits, self._decoding, self._observe)
        try:
            sink = self._sink_of(opening.owner) if opening.start.task == "transcribe" else None
            manager = BufferManager(key, opening.start, *settings, sink)
        except WireError as e:
            return Refused(Close.BAD_MESSAGE, "bad_message", str(e))
        manager.resumable = opening.resumable
        self._managers[key.session] = manager
        if opening.start.model is not None:
            self._preloads.append(Preload(key.session, opening.start.model, opening.start.language))
        self._observe("opened", 1)
        return self._opened(manager, opening)

    def _refusal(self, start: Start, languages: tuple[str, ...]) -> Refused | None:
        """Return why a new session cannot begin here, or None. `languages` are its model's, if known."""
        if start.encoding == "container" and (start.from_byte or start.have_segment != NO_SEGMENT):
            message = (
                f"expected a container from its first byte on, got byte {start.from_byte} of one whose "
                "session is lost; send it as a new stream."
            )
            return Refused(Close.BAD_MESSAGE, "not_resumable", message)
        if start.language and languages and start.language not in languages:
            return Refused(Close.BAD_MESSAGE, "bad_message", unknown_language(start.language, languages))
        limit = self._limits.sessions_per_actor
        if self.sessions >= limit:
            return Refused(
                Close.FULL, "full", f"expected at most {limit} sessions on this host, got one more."
            )
        return None

    def _opened(self, manager: BufferManager, opening: Opening) -> Opened:
        model = manager.start.model or self.model
        messages = manager.attach(opening.gateway, model, opening.start.have_segment)
        return Opened(
            session=manager.key.session,
            resume_token=manager.key.token,
            epoch=manager.epoch,
            messages=messages,
            credit_bytes=manager.credit_bytes,
        )

    def _close_connection(self, manager: BufferManager, close: Close) -> None:
        """Close the connection that has the session, if its gateway still calls."""
        if gateway := self._gateways.find(manager.gateway):
            gateway.close_connection(manager.key.session, manager.epoch, close)

    def _detach(self, manager: BufferManager, now_s: float) -> None:
        """End a connection, and with it a session that cannot be resumed."""
        manager.detach(now_s)
        if not manager.resumable:
            self._drop(manager)

    def _drop(self, manager: BufferManager) -> None:
        del self._managers[manager.key.session]
        if manager.closing is None and manager.resumable:
            self._observe("dropped", 1)
        with self._contained(manager):
            manager.free()

    # Steps of a call.

    def _receive_input(self, call: Call, gateway: GatewayState, now_s: float) -> list[BufferManager]:
        """Hand input to its sessions; return the sessions whose connections have closed."""
        left = list[BufferManager]()
        for input_ in call.inputs:
            manager = self._managers.get(input_.session)
            if manager is None or manager.epoch != input_.epoch or manager.gateway != call.gateway:
                self._reject(input_, manager, gateway)
                continue
            with self._contained(manager):
                manager.receive_input(input_.items, now_s)
            if input_.left:
                left.append(manager)
        return left

    def _reject(self, input_: Input, manager: BufferManager | None, gateway: GatewayState) -> None:
        """Close a connection that has no session here, or has it no more."""
        if not input_.left:
            newer = manager is not None and manager.epoch != input_.epoch
            close = Close.RESUMED_ELSEWHERE if newer else Close.RESTART
            gateway.close_connection(input_.session, input_.epoch, close)

    def _process(self, managers: Iterable[BufferManager], now_s: float) -> None:
        """Let sessions go on with the input that they have."""
        received = 0
        for manager in managers:
            with self._contained(manager):
                received += manager.process(now_s)
        if received:
            self._observe("audio_s", seconds(received))

    def _outputs(self, managers: Iterable[BufferManager], now_s: float) -> Iterator[Output]:
        """Return what connections are to be sent; an output with a close ends the connection."""
        for manager in managers:
            output = manager.output() if manager.gateway is not None else None
            if output is None:
                continue
            if manager.failed:
                self._drop(manager)
            elif output.close is not None:
                self._detach(manager, now_s)
            yield output

    def _busy(self) -> list[BufferManager]:
        return [m for m in self._managers.values() if m.busy]

    # Faults.

    @contextmanager
    def _contained(self, manager: BufferManager) -> Iterator[None]:
        """An exception in here ends this session and no other.

        After a bug the client is asked to connect again: a new session, which begins where this one had got
        to, may do better with its audio. A client that this happens to repeatedly must give up by itself.
        """
        try:
            yield
        except AudioError as e:
            manager.fail(Close.NOT_AUDIO, "not_audio", str(e))
        except Exception:
            log.exception("session %s ended by a fault", manager.key.session)
            self._observe("failed", 1)
            message = "expected the session to go on, got a fault of the server; connect again."
            manager.fail(Close.RESTART, "internal", message)


def _format(start: Start) -> str:
    """Describe the announced audio."""
    if start.encoding == "container":
        return "a container"
    return f"{start.encoding} of {start.channels} channels at {start.sample_rate} Hz"
