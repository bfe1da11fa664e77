"""One client of a host: its session and what goes into it and out of it.

    take     bytes and controls, as they came            -> inlet
    pull     what of it has become samples               -> for the voice to hear
    hear     their speech probabilities                  -> session: events and decodes
    receive  answers to decodes                          -> session: events and decodes
    jobs     what is to be decoded                       <- session
    output   messages, credit, close                     <- mailbox

`SessionHost` takes these steps with all of its clients. Nothing here knows of connections but for the
`gateway` that the present one is at, and its `epoch`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from voxray import wire
from voxray.serving.audio_input.decoder import decoder_for
from voxray.serving.audio_input.voice_activity import Track
from voxray.serving.gateway.input_queue import TokenBucket
from voxray.serving.protocol import Answer, Control, Job, Output
from voxray.serving.sessions.decodes import Decodes
from voxray.serving.sessions.input_buffer import Heard, InputBuffer
from voxray.serving.sessions.latency import Latency, Observe, unobserved
from voxray.serving.sessions.outbox import SessionOutbox
from voxray.serving.settings import Decoding, Limits
from voxray.streaming import events
from voxray.streaming.audio_buffer import Pcm
from voxray.streaming.endpoint import EndpointOptions
from voxray.streaming.events import samples, seconds
from voxray.streaming.options import SessionOptions
from voxray.streaming.session import Session, State
from voxray.wire import Close, Start

PULL_S = 4.0  # of a container at once, which may decode to days: its host has others to listen to
FINALIZE_BURST_S = 3.0  # of finalizes at once: the gateway has metered them, and a call may have been late


@dataclass(frozen=True, slots=True)
class Key:
    """A session's name and the secret that shows whose it is."""

    session: str
    token: str


class BufferManager:
    """The session that `start` asks for, from byte `start.from_byte` and after segment `start.have_segment`.

    Raises WireError where it cannot begin there.
    """

    def __init__(
        self,
        key: Key,
        start: Start,
        track: Track,
        limits: Limits,
        decoding: Decoding,
        observe: Observe = unobserved,
    ) -> None:
        self.key, self.start, self.track = key, start, track
        self.gateway: str | None = None
        self.epoch = 0
        self.absent_s: float | None = None  # since when nobody is connected
        self.closing: Close | None = None  # how the connection is to end, once all is said
        self.resumable = True  # False: nobody comes back once the connection is gone
        self.failed = False
        intake = decoder_for(start, start.from_byte)
        at = intake.sample_of(start.from_byte)
        self.session = Session(
            session_options(start, limits, decoding), at=at, segment=start.have_segment + 1
        )
        self.decodes = Decodes(self.session)
        self._inlet = InputBuffer(intake, at, delayed=start.encoding == "container")
        self._mail = SessionOutbox()
        self._limits, self._observe, self._latency = limits, observe, Latency(observe)
        rate = limits.finalizes_per_s
        self._finalizes = TokenBucket(rate, max(1.0, FINALIZE_BURST_S * rate))
        self._stopped = self._cut_off = False  # by the client; by us
        self._credit_told: int | None = None  # None: it is told in any case

    # What comes in.

    def take(self, items: Iterable[bytes | Control], now_s: float) -> None:
        """What came from the client, in order. After `stop`, another is ignored, and audio ends it all."""
        for item in items:
            if self.closing is None and not self._cut_off:
                self._accept(item, now_s)

    def pull(self, now_s: float) -> Pcm:
        """What has become samples since the last call, for the voice to hear. AudioError: it is not audio."""
        if self.closing is not None or self._inlet.empty:
            return np.empty(0, dtype=np.int16)
        pcm = self._inlet.pull(min(self.session.room, samples(PULL_S)), now_s)
        if len(pcm):
            self._latency.arrived(self._inlet.end, now_s)
        if self._inlet.end - self._inlet.start >= samples(self._limits.session_s) and not self._cut_off:
            self._stopped = self._cut_off = True
            self._inlet.stop()
        return pcm

    def hear(self, speech: Sequence[float], now_s: float) -> None:
        """The speech probabilities of what was pulled; it goes to the session as far as that has room."""
        self._inlet.hear(speech)
        self.advance(now_s)
        overrun = self._inlet.waiting > samples(self._limits.undecoded_s)
        if overrun and self.start.encoding != "container":  # those have bounds of their own
            waiting_s = seconds(self._inlet.waiting)
            self.fail(
                Close.BAD_MESSAGE,
                "too_fast",
                f"expected at most {self._limits.undecoded_s:g} s of audio beyond the credit, and "
                f"{waiting_s:.1f} s came; send no more than credit_bytes.",
            )

    def receive(self, answer: Answer, now_s: float) -> None:
        """The answer to a job; others are ignored."""
        request = self.decodes.receive(answer, now_s)
        if request is not None:
            self._observe("answer_s", now_s - request.asked_s)
            self.advance(now_s)

    def advance(self, now_s: float) -> None:
        """Time went by, and there may be room."""
        if self.closing is not None:
            return
        self.session.tick(now_s)
        while (part := self._inlet.next(self.session.room)) is not None:
            self._pass_on(part, now_s)
        self.decodes.collect(now_s)
        self._tell(now_s)

    def requeue(self, now_s: float) -> None:
        """None of the jobs that were taken will be answered."""
        if self.closing is None:
            self.decodes.requeue(now_s)
            self._tell(now_s)

    # What goes out.

    def jobs(self, now_s: float) -> list[Job]:
        """The window that is to be decoded, if there is one that was not taken."""
        request = self.decodes.take() if self.closing is None else None
        if request is None:
            return []
        return [
            Job(
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
            )
        ]

    def output(self) -> Output | None:
        """What the connection is sent now; None where there is nothing new."""
        messages, credit = self._mail.take(), self.credit_bytes
        if not messages and self.closing is None and credit == self._credit_told:
            return None
        self._credit_told = credit
        return Output(self.key.session, self.epoch, messages, credit, self.closing)

    @property
    def received_bytes(self) -> int:
        """The first byte that has not come."""
        return self._inlet.received

    @property
    def credit_bytes(self) -> int:
        """How much more audio may come now."""
        if self._stopped or self.closing is not None:
            return 0
        room = max(0, self.session.room - self._inlet.waiting)
        return max(0, self._inlet.intake.credit(room) - self._inlet.unread)

    @property
    def unsettled(self) -> bool:
        """Whether something waits that no further input is needed for."""
        return self.closing is None and not self._inlet.empty

    # Connections.

    def attach(self, gateway: str, model: str, have_segment: int) -> tuple[wire.ServerMessage, ...]:
        """A new connection, at `gateway`: `ready`, and all that was said after `have_segment`."""
        ready = wire.Ready(self.key.session, self.key.token, self.epoch > 0, self.received_bytes, model)
        self.gateway, self.epoch, self.absent_s = gateway, self.epoch + 1, None
        self._credit_told = None
        return ready, *self._mail.replay(have_segment)

    def detach(self, now_s: float) -> None:
        """The connection is gone; the session goes on with what it has."""
        self.gateway, self.absent_s = None, now_s

    def fail(self, close: Close, code: str, message: str) -> None:
        """End at once, and say why; nothing of the session can be had again."""
        if self.closing is None:
            self._mail.post(wire.Error(code, message))
            self.closing, self.failed = close, True

    def free(self) -> None:
        """Let go of what is not memory."""
        self._inlet.intake.close()

    # What is done with it.

    def _accept(self, item: bytes | Control, now_s: float) -> None:
        if isinstance(item, bytes):
            self._credit_told = None
            if self._stopped:
                came = f"expected nothing after stop, and {len(item)} bytes of audio came."
                self.fail(Close.BAD_MESSAGE, "bad_message", came)
        elif self._stopped:
            return
        elif item.stop:
            self._stopped = True
        elif not self._finalizes.consume(1, now_s):
            most = f"expected at most {self._limits.finalizes_per_s:g} finalize per second, and more came."
            self.fail(Close.BAD_MESSAGE, "too_fast", most)
        self._inlet.push(item)

    def _pass_on(self, part: Heard | Control, now_s: float) -> None:
        if isinstance(part, Heard):
            self.session.receive_audio(part.pcm, part.speech, now_s)
        elif part.stop:
            self.session.stop(now_s)
        else:
            self.session.finalize(now_s)

    def _tell(self, now_s: float) -> None:
        """Say what happened, and right after finals and `finalized` how far that is.

        A client that loses its session between a final and its `ack` might have the same audio heard again.
        """
        told = self.session.events_to_send()
        settled = [i for i, e in enumerate(told) if isinstance(e, events.Final | events.Finalized)]
        if settled and self.session.state is not State.DONE:
            told.insert(settled[-1] + 1, self._ack())
        for event in told:
            self._mail.post(self._message(event))
        self._latency.told(told, now_s)
        self._latency.forget(self.session.keep_from)
        if self.session.state is State.DONE and self.closing is None:
            self.closing = Close.NORMAL
            self.free()

    def _ack(self) -> events.Ack:
        received, processed = self._inlet.end - self._inlet.waiting, self.session.processed
        lag_s = seconds(received - processed)
        return events.Ack(received, self.session.keep_from, self.session.room, seconds(processed), lag_s)

    def _message(self, event: events.Event) -> wire.ServerMessage:
        match event:
            case events.SpeechStart(segment, at_s):
                return wire.SpeechStart(segment, at_s)
            case events.Partial(segment, start_s, end_s, stable, unstable):
                return wire.Partial(segment, start_s, end_s, stable, unstable)
            case events.SpeechEnd(segment, at_s):
                return wire.SpeechEnd(segment, at_s)
            case events.Final(segment, start_s, end_s, text, language, words):
                asked = words if self.start.words else None
                return wire.Final(segment, start_s, end_s, text, language, asked)
            case events.Finalized():
                return wire.Finalized()
            case events.Done(audio_s, segments):
                return wire.Done(audio_s, segments)
            case events.Ack(_, keep_from, _, processed_s, lag_s):
                keep_from_byte = self._inlet.intake.byte_of(keep_from)
                lag_s += seconds(self._inlet.waiting)
                return wire.Ack(self.received_bytes, keep_from_byte, self.credit_bytes, processed_s, lag_s)


def session_options(start: Start, limits: Limits, decoding: Decoding) -> SessionOptions:
    """What the client asked for, and the service was told."""
    return SessionOptions(
        endpoint=EndpointOptions(endpoint_ms=start.endpoint_ms),
        policy=decoding.policy,
        partials=start.partials,
        language=start.language,
        partial_every_s=decoding.partial_every_s,
        max_undecoded_s=limits.undecoded_s,
    )
