"""A live session: audio, hypotheses and the time go in, events and decode requests come out.

It does no I/O and has no clock. After each `receive_*`, `finalize`, `stop` or `tick`, the caller must take
`events_to_send()` and `requests_to_run()`, the latter with `audio(request)`, and answer each request once.

The session:  OPEN  -- stop -->  STOPPING  -- all finals sent -->  DONE

An utterance (`endpoint.py` finds its bounds; they are decoded one after another):

    WAITING    another is before it
    SPEAKING   partials: the first 0.3 s after its onset, then every 0.5 s
    QUIET      200 ms of silence: one decode in the mode of a final, in case the utterance ends here; its last
               word is whole, and is committed if the decode passes the guards and is certain; if the words
               are complete as well, a shorter silence ends the utterance (`min_endpoint_ms`)
    ENDED      endpoint, finalize or stop: that decode is the final if the guards pass it; if they do not, one
               fallback decode; if they do not pass that either, the committed words alone
    FULL       as long as a window may be, without an end: decoded as if it ended there, then cut

    WAITING -> SPEAKING <-> QUIET -> ENDED -> (next)        SPEAKING, QUIET -> FULL -> SPEAKING or ENDED

Past 6 s a SPEAKING utterance is cut at the last committed word, once that ends 1 s before the window does.
What lies before a cut becomes a final, what follows is a new segment. Segments are sent one after another:
start, partials, end, final. An ENDED utterance whose text is truncated, at the decoder's limit of tokens or
before a loop, is cut as a FULL one is, and goes on as ENDED; the end that was sent is that of its speech.
An utterance whose text ends while its speech goes on is cut there, whatever its state.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum

from voxray.audio.pcm import Pcm, quietest_s
from voxray.guards import GuardResult
from voxray.streaming.agreement import Agreement, Fit, ended_before, normalize_words
from voxray.streaming.audio_buffer import AudioBuffer
from voxray.streaming.end_of_turn import is_complete
from voxray.streaming.endpoint import Ended, Endpointer, Mark, Onset, Quiet
from voxray.streaming.event_emitter import EventEmitter
from voxray.streaming.events import (
    FRAME,
    DecodeMode,
    DecodeRequest,
    Event,
    Hypothesis,
    HypothesisWord,
    SessionProgress,
    samples,
    seconds,
)
from voxray.streaming.options import SessionOptions
from voxray.streaming.requests import Requests
from voxray.streaming.utterance import (
    LONGEST_WORD_S,
    SHORTEST_WORD_S,
    Attempt,
    Outcome,
    Overlap,
    Utterance,
    cut_after,
)


class SessionState(Enum):
    """See the module's docstring."""

    OPEN = "open"
    STOPPING = "stopping"
    DONE = "done"


class Flush(Enum):
    """A control that is answered once all audio before it has its finals."""

    FINALIZE = "finalize"
    STOP = "stop"


class Session:
    """One client's stream. One that replaces a lost session begins at sample `at` with segment `segment`."""

    def __init__(self, options: SessionOptions | None = None, *, at: int = 0, segment: int = 0) -> None:
        self.options = options = options or SessionOptions()
        self.state = SessionState.OPEN
        self._buffer = AudioBuffer(at)
        self._endpointer = Endpointer(options.endpoint, at)
        self._queue: deque[Utterance | Flush] = deque()
        self._requests = Requests(options, speculated=at - samples(options.final_every_s))
        self._emitter = EventEmitter(segment, options.partials, options.ack_every_s)

    # Input.

    def receive_audio(self, pcm: Pcm, speech: Sequence[float], now_s: float) -> None:
        """Receive audio, and the speech probabilities of the frames (512 samples) that are complete with it.

        Raises ValueError after `stop`, beyond `room`, or for probabilities of frames that are not complete.
        """
        if self.state is not SessionState.OPEN:
            raise ValueError(f"expected no audio after stop, got {len(pcm)} samples.")
        if len(pcm) > self.room:
            raise ValueError(f"expected at most {self.room} samples (room), got {len(pcm)}.")
        complete = (self._buffer.end + len(pcm) - self._endpointer.position) // FRAME
        if len(speech) > complete:
            raise ValueError(f"expected at most {complete} probabilities, one per frame, got {len(speech)}.")
        self._buffer.append(pcm)
        for probability in speech:
            self._mark(self._endpointer.feed(probability))
        self._advance(now_s)

    def receive_hypothesis(
        self, request: int, hypothesis: Hypothesis, now_s: float, queued_s: float = 0.0
    ) -> None:
        """Receive the answer to a request, which waited `queued_s` for others; one too late is ignored."""
        answered, front = self._requests.receive_answer(request), self._front
        if answered and front:
            self._requests.interval.receive_answer(now_s - answered.asked_s, queued_s)
            self._apply(front, answered, hypothesis)
        self._advance(now_s)

    def receive_failure(self, request: int, now_s: float) -> None:
        """A request was not decoded: the engine failed, or a newer request replaced it."""
        front = self._front
        if self._requests.receive_answer(request) and front and (attempt := front.attempt_of(request)):
            attempt.outcome = Outcome.FAILED
        self._advance(now_s)

    def finalize(self, now_s: float) -> None:
        """Send the finals of all audio so far, then `Finalized`."""
        self._flush(Flush.FINALIZE, now_s)

    def stop(self, now_s: float) -> None:
        """Send the finals of all audio, then `Done`; only answers may be received after this."""
        self._flush(Flush.STOP, now_s)

    def tick(self, now_s: float) -> None:
        """Time has passed."""
        self._advance(now_s)

    # Output.

    def events_to_send(self) -> list[Event]:
        """Return the events since the last call, in order."""
        return self._emitter.events_to_send()

    def requests_to_run(self) -> list[DecodeRequest]:
        """Return the newest request, if it is new since the last call; it replaces any that does not run."""
        return self._requests.requests_to_run()

    def audio(self, request: DecodeRequest) -> Pcm:
        """Return the window of a request that was just returned by `requests_to_run`, (samples,) int16."""
        return self._buffer.read(request.start, request.end)

    @property
    def keep_from(self) -> int:
        """The first sample that another session in its place needs: what is before has its finals."""
        return self._front.start if self._front else self._endpointer.keep_from

    @property
    def decode_from(self) -> int:
        """The first sample that a decode may still need: after a cut, windows begin before `keep_from`."""
        return self._front.window_start if self._front else self.keep_from

    @property
    def processed(self) -> int:
        """The first sample that is not processed: audio before it is decoded or has no speech."""
        front = self._front
        if front is None:
            return self._endpointer.position
        silent = front.end is not None and front.decoded >= front.end and not front.ended
        return self._endpointer.position if silent else front.decoded

    @property
    def room(self) -> int:
        """How many more samples may be received now."""
        return max(0, samples(self.options.max_undecoded_s) - (self._buffer.end - self.processed))

    @property
    def progress(self) -> SessionProgress:
        """How far the session is."""
        processed = self.processed
        return SessionProgress(self.keep_from, seconds(processed), seconds(self._buffer.end - processed))

    # Transitions. Only these change an utterance's place in the diagram above.

    @property
    def _front(self) -> Utterance | None:
        return self._queue[0] if self._queue and isinstance(self._queue[0], Utterance) else None

    def _mark(self, mark: Mark | None) -> None:
        """Apply what the endpointer found to the newest utterance."""
        if mark is None:
            return
        if isinstance(mark, Onset):
            agreement = Agreement(self.options.policy)
            self._queue.append(Utterance(mark.start, mark.onset, agreement, decoded=mark.start))
            return
        newest = self._queue[-1]
        assert isinstance(newest, Utterance)  # a flush ends an open utterance
        if isinstance(mark, Quiet | Ended):
            newest.speech_end, newest.end, newest.ended = mark.at, mark.end, isinstance(mark, Ended)
        else:
            newest.speech_end = newest.end = None

    def _flush(self, flush: Flush, now_s: float) -> None:
        if self.state is not SessionState.OPEN:
            raise ValueError(f"expected nothing after stop, got {flush.value}.")
        if flush is Flush.STOP:
            self.state = SessionState.STOPPING
        self._mark(self._endpointer.flush(self._buffer.end))
        self._queue.append(flush)
        self._advance(now_s)

    def _advance(self, now_s: float) -> None:
        while self._queue and self._settle(self._queue[0], now_s):
            self._queue.popleft()
        self._buffer.drop_before(self.decode_from)
        if self.state is not SessionState.DONE:
            self._emitter.progress(self.progress, now_s)

    def _settle(self, first: Utterance | Flush, now_s: float) -> bool:
        """Do all that can be done for the first in the queue; return whether nothing is left to do."""
        if isinstance(first, Utterance):
            return self._step(first, now_s)
        if first is Flush.FINALIZE:
            self._emitter.finalized()
        else:
            self.state = SessionState.DONE
            self._emitter.done(self._buffer.end)
        return True

    def _step(self, u: Utterance, now_s: float) -> bool:
        """Take an utterance as far as it goes; return whether its final is sent."""
        self._emitter.start(u)
        limit = u.window_start + samples(self.options.max_window_s)
        full = (self._endpointer.position if u.end is None else u.end) > limit
        if u.ended and not full:
            self._emitter.end(u, u.speech_end or u.onset)
        end = limit if full else u.end
        if end is None:
            self._requests.partial(u, self._endpointer.position, now_s)
            return False
        if not self._attempted(u, end, full or u.ended, now_s):
            return False
        if full or self._is_truncated(u, end):
            self._cut(u, *u.cut_place(end, self.options.cut_margin_s), end)
            return self._step(u, now_s)
        self._emitter.final(u, len(u.best), u.speech_end or u.onset, end)
        self._requests.clear()
        return True

    def _attempted(self, u: Utterance, end: int, due: bool, now_s: float) -> bool:
        """Ask for a final of the audio up to `end`; return whether it is due and no attempt is left."""
        attempt = u.attempted(end)
        if attempt is None and not due:
            deadline_s = now_s + seconds(self._endpointer.until_end)
            self._requests.speculate(u, end, self._endpointer.position, now_s, deadline_s)
        elif attempt is None:
            self._requests.final(u, DecodeMode.FINAL, end, now_s, now_s)
        elif due and attempt.outcome is Outcome.FAILED and attempt.mode is DecodeMode.FINAL:
            self._requests.final(u, DecodeMode.FALLBACK, end, now_s, now_s)
        else:
            return due and attempt.outcome is not Outcome.WAITING
        return False

    def _apply(self, u: Utterance, request: DecodeRequest, hypothesis: Hypothesis) -> None:
        """Apply a hypothesis to its utterance."""
        if request.id < u.answered:
            return  # a newer window was answered before
        words, attempt = u.own_words(normalize_words(hypothesis)), u.attempt_of(request.id)
        fit, result = u.agreement.fit(words), self.options.guards.check(hypothesis)
        u.answered, u.decoded = request.id, max(u.decoded, request.end)
        if not words and u.overlap.words:  # it keeps the decoder from going on: ask again without it
            u.overlap, u.attempt = Overlap(), None
            self._requests.clear()
            return
        if attempt and fit is Fit.MISFIT and request.prefix != u.prefix:
            u.attempt = None  # words were committed since it was asked for: ask again
            return
        if attempt:
            attempt.receive(fit, result, hypothesis.truncated)
        if fit is Fit.MISFIT or result in (GuardResult.LOOP, GuardResult.SILENCE):
            u.best = () if request.mode is DecodeMode.FALLBACK else u.best
            return
        if fit is Fit.INSIDE:
            u.agreement.shorten()
        u.best = u.agreement.aligned(words)
        self._requests.keep_language(u, request, hypothesis.language)
        if fit is Fit.INSIDE:
            u.agreement.previous = u.best
        elif (early := self._early_end(u, request, attempt, hypothesis)) is not None:
            self._cut(u, early, len(u.best), request.end, overlap=False)
        elif attempt and not u.ended and u.end == request.end and self._is_certain(u, attempt, hypothesis):
            self._commit_all(u, request.end)
            if is_complete(hypothesis):
                self._endpointer.end_sooner()
        elif not u.ended:
            self._commit(u, request, u.best, probable=self._is_probable(hypothesis))

    def _is_certain(self, u: Utterance, attempt: Attempt, hypothesis: Hypothesis) -> bool:
        """Return whether all words of a window that ends in silence can be committed, the last one included.

        The window holds the end of that word. The previous hypothesis must have the words before it, unless
        the mean log-probability is high.
        """
        passed = attempt.outcome is Outcome.PASSED and not attempt.truncated
        return passed and (self._is_probable(hypothesis) or u.agreement.agrees_but_for_last(u.best))

    def _is_probable(self, hypothesis: Hypothesis) -> bool:
        logprob = hypothesis.avg_logprob
        return logprob is not None and logprob >= self.options.min_certain_logprob

    def _early_end(
        self, u: Utterance, request: DecodeRequest, attempt: Attempt | None, hypothesis: Hypothesis
    ) -> int | None:
        """Return where the text of a window ends before its speech does; None if it does not, or may not.

        Alignment stretches the last word over what is missing: the quietest place after it is taken.
        """
        agreed = u.agreement.agrees_but_for_last(u.best)
        if hypothesis.truncated or not (attempt.outcome is Outcome.PASSED if attempt else agreed):
            return None
        word_start = u.unfinished_from(request.end, self.options.endpoint.endpoint_ms / 1000)
        if word_start is None:
            return None
        end = word_start + samples(LONGEST_WORD_S)
        return word_start + samples(
            quietest_s(self._buffer.read(word_start, end), SHORTEST_WORD_S, LONGEST_WORD_S)
        )

    def _commit_all(self, u: Utterance, end: int) -> None:
        """Commit and send all words of a window up to `end`."""
        u.agreement.previous = u.best
        u.agreement.accept(u.best, len(u.best))
        self._emitter.partial(u, end)

    def _commit(
        self, u: Utterance, request: DecodeRequest, words: tuple[HypothesisWord, ...], *, probable: bool
    ) -> None:
        """Commit and send words, and cut the utterance after them if it has grown long."""
        length_s, margin_s = seconds(request.end - u.start), self.options.cut_margin_s
        long = length_s > self.options.cut_s and request.mode is DecodeMode.PARTIAL
        at_most = ended_before(words, length_s - margin_s) if long else None
        allowed = u.agreement.update(words, length_s, at_most, probable=probable)
        count = len(u.agreement.committed)
        cut = cut_after(words, count, length_s, margin_s) if long and u.end is None else None
        if cut is not None:
            self._cut(u, u.start + cut, count, request.end)
            u.agreement.accept(u.best, allowed - count)
        self._emitter.partial(u, request.end)

    def _is_truncated(self, u: Utterance, end: int) -> bool:
        """Return whether the text of a window up to `end` is truncated, and a cut leaves enough of it."""
        attempt, margin = u.attempted(end), samples(self.options.cut_margin_s)
        if attempt is None or not attempt.truncated:
            return False
        at, _ = u.cut_place(end, self.options.cut_margin_s)
        return u.start + margin <= at < end

    def _cut(self, u: Utterance, at: int, count: int, end: int, *, overlap: bool = True) -> None:
        """Send the first `count` words of a window up to `end` as a final; begin a new segment at `at`.

        Its windows begin before that, with an `overlap`, so that a cut inside a word loses none.
        """
        self._emitter.end(u, at)
        self._emitter.final(u, count, at, end)
        self._requests.clear()
        u.restart(at, count, end, overlap=overlap)
        self._emitter.start(u)
