"""One client of a host: its audio, its voice activity detector and its session.

    receive_input     bytes and controls of the client         -> InputBuffer
    process           samples, with speech probabilities       -> Session
    receive_answer    hypotheses of a transcriber              -> Session
    next_job          the window to decode                     <- Session
    output            messages, credit, close                  <- SessionOutbox

`SessionHost` takes these steps for all of its clients. Of connections, a manager knows only the `gateway` of
the present one, and its `epoch`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from voxray.serving.audio_input.decoder import decoder_for
from voxray.serving.audio_input.voice_activity import VoiceActivityDetector
from voxray.serving.observe import Observe, unobserved
from voxray.serving.protocol import Answer, Control, Job, Output
from voxray.serving.sessions.decodes import DecodeQueue
from voxray.serving.sessions.final_recorder import FinalRecorder, FinalSink
from voxray.serving.sessions.input_buffer import InputBuffer
from voxray.serving.sessions.latency import Latency
from voxray.serving.sessions.outbox import SessionOutbox
from voxray.serving.settings import Decoding, Limits
from voxray.serving.token_bucket import TokenBucket
from voxray.streaming.endpoint import EndpointOptions
from voxray.streaming.events import Event, Final, Finalized, SessionProgress, samples, seconds
from voxray.streaming.options import SessionOptions
from voxray.streaming.session import Session, SessionState
from voxray.wire import Ack, Close, Error, Ready, ServerMessage, Start

DECODED_AT_ONCE_S = 4.0  # of a container, which may hold days: the host has other sessions
FINALIZE_BURST_S = 3.0  # of finalizes at once: the gateway has metered them, and a call may have been late


@dataclass(frozen=True, slots=True)
class SessionKey:
    """A session's id, and the token that resumes it."""

    session: str
    token: str


class BufferManager:
    """The session that `start` asks for, from byte `start.from_byte` and after segment `start.have_segment`.

    `start.model` decodes all of it; None is the transcriber's default. Raises WireError if it cannot begin
    there. Call `free` in the end. `sink` receives its finals and their audio.
    """

    def __init__(
        self,
        key: SessionKey,
        start: Start,
        detector: VoiceActivityDetector,
        limits: Limits,
        decoding: Decoding,
        observe: Observe = unobserved,
        sink: FinalSink | None = None,
    ) -> None:
        self.key, self.start = key, start
        self.gateway: str | None = None
        self.epoch = 0
        self.absent_s: float | None = None  # since when there is no connection
        self.closing: Close | None = None  # how to close the connection, once all messages are sent
        self.resumable = True  # False: the session ends with its connection
        self.failed = False
        decoder = decoder_for(start, start.from_byte)
        at = decoder.sample_of(start.from_byte)
        self._recorder = FinalRecorder(at, sink) if sink else None
        options = session_options(start, limits, decoding, recorded=sink is not None)
        self.session = Session(options, at=at, segment=start.have_segment + 1)
        self.decodes = DecodeQueue(self.session)
        self._detector = detector
        self._input = InputBuffer(decoder, at, delayed=start.encoding == "container")
        self._outbox = SessionOutbox()
        self._limits, self._observe, self._latency = limits, observe, Latency(observe)
        rate = limits.finalizes_per_s
        self._finalizes = TokenBucket(rate, max(1.0, FINALIZE_BURST_S * rate))
        self._stopped = self._cut_off = False  # by the client; by us
        self._credit_sent: int | None = None  # None: send it in any case

    # Input.

    def receive_input(self, items: Iterable[bytes | Control], now_s: float) -> None:
        """Receive what the client sent, in order. Call `process` afterwards.

        After `stop`, another is ignored, and audio is an error that ends the session.
        """
        for item in items:
            if self.closing is None and not self._cut_off:
                self._receive(item, now_s)

    def process(self, now_s: float) -> int:
        """Decode the input and pass it to the session; return the number of new samples.

        Call this also without input: a container's samples come later than its bytes. Raises AudioError for
        bytes that are not audio.
        """
        if self.closing is not None:
            return 0
        count = self._input.decode(min(self.session.room, samples(DECODED_AT_ONCE_S)), now_s)
        if count:
            self._latency.receive_audio(self._input.end, now_s)
        if self._input.end - self._input.start >= samples(self._limits.session_s) and not self._cut_off:
            self._stopped = self._cut_off = True
            self._input.stop()
        self._advance(now_s)
        self._check_overrun()
        return count

    def receive_answer(self, answer: Answer, now_s: float) -> None:
        """Receive the answer to a job, or an error, which ends the session. Other answers are ignored."""
        if answer.error is not None:
            return self.fail(Close.BAD_MESSAGE, answer.error.code, answer.error.message)
        request = self.decodes.receive_answer(answer, now_s) if self.closing is None else None
        if request is not None:
            self._observe("answer_s", now_s - request.asked_s)
            self._advance(now_s)

    def requeue(self, now_s: float) -> None:
        """Hand out jobs again: those that were handed out will not be answered."""
        if self.closing is None:
            self.decodes.requeue(now_s)
            self._send(now_s)

    # Output.

    def next_job(self, now_s: float) -> Job | None:
        """Return the window to decode, once; None if there is none."""
        request = self.decodes.request_to_run() if self.closing is None else None
        if request is None:
            return None
        return Job(
            session=self.key.session,
            number=request.id,
            pcm=self.session.audio(request).astype("<i2", copy=False).tobytes(),
            prefix=request.prefix,
            mode=request.mode,
            word_times=request.word_times,
            language=request.language,
            task=self.start.task,
            prompt=self.start.prompt,
            hotwords=self.start.hotwords,
            due_in_s=request.deadline_s - now_s,
            model=self.start.model,
        )

    def output(self) -> Output | None:
        """Return what the connection is to be sent; None if nothing has changed since the last call."""
        messages, credit = self._outbox.messages_to_send(), self.credit_bytes
        if not messages and self.closing is None and credit == self._credit_sent:
            return None
        self._credit_sent = credit
        return Output(self.key.session, self.epoch, messages, credit, self.closing)

    @property
    def received_bytes(self) -> int:
        """The position of the next byte to be received."""
        return self._input.received

    @property
    def credit_bytes(self) -> int:
        """How many bytes of audio the client may send now."""
        if self._stopped or self.closing is not None:
            return 0
        room = max(0, self.session.room - self._input.waiting)
        return max(0, self._input.decoder.credit(room) - self._input.undecoded)

    @property
    def busy(self) -> bool:
        """Whether `process` may have something to do without further input."""
        return self.closing is None and not self._input.empty

    # Connections.

    def attach(self, gateway: str, model: str, have_segment: int) -> tuple[ServerMessage, ...]:
        """Begin a connection at `gateway`; return `Ready` and the finals after `have_segment`."""
        ready = Ready(self.key.session, self.key.token, self.epoch > 0, self.received_bytes, model)
        self.gateway, self.epoch, self.absent_s = gateway, self.epoch + 1, None
        self._credit_sent = None
        return ready, *self._outbox.replay(have_segment)

    def detach(self, now_s: float) -> None:
        """End the connection; the session goes on with the audio that it has."""
        self.gateway, self.absent_s = None, now_s

    def fail(self, close: Close, code: str, message: str) -> None:
        """End the session at once with an error; it cannot be resumed."""
        if self.closing is None:
            self._outbox.put(Error(code, message))
            self.closing, self.failed = close, True

    def free(self) -> None:
        """Free the decoder, which may have a thread."""
        self._input.decoder.close()

    # Steps.

    def _receive(self, item: bytes | Control, now_s: float) -> None:
        if isinstance(item, bytes):
            self._credit_sent = None
            if self._stopped:
                message = f"expected nothing after stop, got {len(item)} bytes of audio."
                self.fail(Close.BAD_MESSAGE, "bad_message", message)
        elif self._stopped:
            return
        elif item.stop:
            self._stopped = True
        elif not self._finalizes.consume(1, now_s):
            message = f"expected at most {self._limits.finalizes_per_s:g} finalize per second, got more."
            self.fail(Close.BAD_MESSAGE, "too_fast", message)
        self._input.push(item)

    def _advance(self, now_s: float) -> None:
        """Let the session go on, with as much of the input as it has room for."""
        self.session.tick(now_s)
        while (item := self._input.next(self.session.room)) is not None:
            if not isinstance(item, Control):
                if self._recorder:
                    self._recorder.receive_audio(item)
                self.session.receive_audio(item, self._detector.probabilities(item), now_s)
            elif item.stop:
                self.session.stop(now_s)
            else:
                self.session.finalize(now_s)
        self.decodes.collect(now_s)
        self._send(now_s)

    def _check_overrun(self) -> None:
        """End a session whose client ignores the credit; a container's input has bounds of its own."""
        waiting_s, limit_s = seconds(self._input.waiting), self._limits.undecoded_s
        if waiting_s > limit_s and self.start.encoding != "container":
            message = (
                f"expected at most {limit_s:g} s of audio beyond the credit, got {waiting_s:.1f} s; "
                "send no more than credit_bytes."
            )
            self.fail(Close.BAD_MESSAGE, "too_fast", message)

    def _send(self, now_s: float) -> None:
        """Queue the session's events for the client, and its progress right after finals and `Finalized`.

        A client that lost its session between a final and its `ack` could send the same audio again.
        """
        events = self.session.events_to_send()
        settled = [i for i, e in enumerate(events) if isinstance(e, Final | Finalized)]
        if settled and self.session.state is not SessionState.DONE:
            events.insert(settled[-1] + 1, self.session.progress)
        for event in events:
            self._outbox.put(self._message(event))
        if self._recorder:
            self._recorder.receive_events(events, self.session.keep_from)
        self._latency.send(events, now_s)
        self._latency.forget(self.session.keep_from)
        if self.session.state is SessionState.DONE and self.closing is None:
            self.closing = Close.NORMAL
            self.free()

    def _message(self, event: Event) -> ServerMessage:
        if isinstance(event, SessionProgress):
            return Ack(
                received_bytes=self.received_bytes,
                keep_from_byte=self._input.decoder.byte_of(event.keep_from),
                credit_bytes=self.credit_bytes,
                processed_s=event.processed_s,
                lag_s=event.lag_s + seconds(self._input.waiting),
            )
        if isinstance(event, Final) and not self.start.words:
            return replace(event, words=None)
        return event


def session_options(
    start: Start, limits: Limits, decoding: Decoding, *, recorded: bool = False
) -> SessionOptions:
    """Combine what the client asks for with the service's settings; finals that are `recorded` have words."""
    bounds = start.endpoint_range
    return SessionOptions(
        endpoint=EndpointOptions(endpoint_ms=bounds.max, min_endpoint_ms=bounds.min),
        policy=decoding.policy,
        partials=start.partials,
        word_times=start.words or recorded,
        language=start.language,
        partial_every_s=decoding.partial_every_s,
        max_undecoded_s=limits.undecoded_s,
    )
