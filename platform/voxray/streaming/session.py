"""A live session: audio, speech probabilities, hypotheses and the time in, events and decode requests out.

It has no clock and does no input or output. The caller hands in what comes, then takes `events_to_send()`
and `requests_to_run()`, with `audio(request)` for each of the latter.

The session:  OPEN  -- stop -->  STOPPING  -- all finals out -->  DONE

An utterance (`endpoint.py` says where it begins and ends; they are decoded one after another):

    WAITING    another is before it
    SPEAKING   partials: the first 0.3 s after its onset, then every 0.5 s
    QUIET      200 ms of silence: one decode with a final's mode, in case that was all
    ENDED      endpoint, finalize or stop: that decode is the final if the guards pass it; if they do not, one
               fallback decode; if that is no better, the committed words alone
    FULL       as long as a window may be, without an end: decoded as if it ended there, then cut

    WAITING -> SPEAKING <-> QUIET -> ENDED -> (next)        SPEAKING, QUIET -> FULL -> SPEAKING or ENDED

Past 8 s a SPEAKING utterance is cut at the last committed word, once that ends 1 s before the window does.
What lies before a cut goes out as a final, what follows is a new segment. Segments go out one after another:
start, partials, end, final.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum

from voxray.streaming.agreement import Fit, ended_before, normalize_words
from voxray.streaming.audio_buffer import AudioBuffer, Pcm
from voxray.streaming.endpoint import Ended, Endpointer, Mark, Onset, Quiet
from voxray.streaming.event_emitter import EventEmitter
from voxray.streaming.events import (
    FRAME,
    Ack,
    DecodeMode,
    DecodeRequest,
    Event,
    Hypothesis,
    HypothesisWord,
    samples,
    seconds,
)
from voxray.streaming.guards import Verdict
from voxray.streaming.options import SessionOptions
from voxray.streaming.requests import Requests
from voxray.streaming.utterance import Outcome, Utterance, cut_after, opened


class State(Enum):
    """Of the session."""

    OPEN = "open"
    STOPPING = "stopping"
    DONE = "done"


class Flush(Enum):
    """What is answered when all before it has its finals."""

    FINALIZE = "finalize"
    STOP = "stop"


class Session:
    """One client's stream. One that replaces a lost session begins at sample `at` with segment `segment`."""

    def __init__(self, options: SessionOptions | None = None, *, at: int = 0, segment: int = 0) -> None:
        self.options = options = options or SessionOptions()
        self.state = State.OPEN
        self._tape = AudioBuffer(at)
        self._endpoint = Endpointer(options.endpoint, at)
        self._queue: deque[Utterance | Flush] = deque()
        self._requests = Requests(options, speculated=at - samples(options.final_every_s))
        self._telling = EventEmitter(segment, options.partials, options.ack_every_s)

    # What comes in.

    def receive_audio(self, pcm: Pcm, speech: Sequence[float], now_s: float) -> None:
        """More audio, and the speech probabilities of the next frames (512 samples each) that are complete.

        ValueError after `stop`, beyond `room`, or with probabilities of audio that has not come.
        """
        if self.state is not State.OPEN:
            raise ValueError(f"expected no audio after stop, and {len(pcm)} samples came.")
        if len(pcm) > self.room:
            raise ValueError(f"expected at most {self.room} samples (room), and {len(pcm)} came.")
        complete = (self._tape.end + len(pcm) - self._endpoint.heard) // FRAME
        if len(speech) > complete:
            raise ValueError(f"expected at most {complete} probabilities, one per frame; {len(speech)} came.")
        self._tape.append(pcm)
        for probability in speech:
            self._mark(self._endpoint.feed(probability))
        self._advance(now_s)

    def receive_hypothesis(self, request: int, hypothesis: Hypothesis, now_s: float) -> None:
        """The answer to a request; one that came too late is ignored."""
        asked, front = self._requests.answered(request), self._front
        if asked and front:
            self._requests.pace.answered(now_s - asked.asked_s)
            self._hear(front, asked, hypothesis)
        self._advance(now_s)

    def receive_failure(self, request: int, now_s: float) -> None:
        """The engine could not answer a request."""
        front = self._front
        if self._requests.answered(request) and front and (attempt := front.attempt_of(request)):
            attempt.outcome = Outcome.FAILED
        self._advance(now_s)

    def receive_superseded(self, request: int, now_s: float) -> None:
        """A request was replaced by a newer one before it cost anything; where none is newer, it failed."""
        self.receive_failure(request, now_s)

    def finalize(self, now_s: float) -> None:
        """Give the finals of all audio so far, then `Finalized`."""
        self._flush(Flush.FINALIZE, now_s)

    def stop(self, now_s: float) -> None:
        """Give the finals of all audio, then `Done`; nothing more may come in but answers."""
        self._flush(Flush.STOP, now_s)

    def tick(self, now_s: float) -> None:
        """Time went by."""
        self._advance(now_s)

    # What goes out.

    def events_to_send(self) -> list[Event]:
        """The events since the last call, in order."""
        return self._telling.take()

    def requests_to_run(self) -> list[DecodeRequest]:
        """The newest request, if there is one since the last call; it replaces any that has not started."""
        return self._requests.take()

    def audio(self, request: DecodeRequest) -> Pcm:
        """The window of a request that was just taken, (samples,) int16."""
        return self._tape.read(request.start, request.end)

    @property
    def keep_from(self) -> int:
        """What is before this sample is never needed again: its finals are out, or nobody spoke."""
        return self._front.start if self._front else self._endpoint.keep_from

    @property
    def processed(self) -> int:
        """What is before this sample is decoded, or nobody speaks there."""
        front = self._front
        if front is None:
            return self._endpoint.heard
        silent = front.end is not None and front.decoded >= front.end and not front.ended
        return self._endpoint.heard if silent else front.decoded

    @property
    def room(self) -> int:
        """How many more samples may come now."""
        return max(0, samples(self.options.max_undecoded_s) - (self._tape.end - self.processed))

    @property
    def _ack(self) -> Ack:
        received, processed = self._tape.end, self.processed
        lag_s = seconds(received - processed)
        return Ack(received, self.keep_from, self.room, seconds(processed), lag_s)

    @property
    def held(self) -> int:
        """How many samples are in memory."""
        return self._tape.held

    # Transitions. Only these change an utterance's place in the diagram above.

    @property
    def _front(self) -> Utterance | None:
        return self._queue[0] if self._queue and isinstance(self._queue[0], Utterance) else None

    def _mark(self, mark: Mark | None) -> None:
        """What the speech probabilities say of the newest utterance."""
        if mark is None:
            return
        if isinstance(mark, Onset):
            self._queue.append(opened(mark.start, mark.onset, self.options.policy))
            return
        newest = self._queue[-1]
        assert isinstance(newest, Utterance)  # a flush ends what is open
        if isinstance(mark, Quiet | Ended):
            newest.speech_end, newest.end, newest.ended = mark.at, mark.end, isinstance(mark, Ended)
        else:
            newest.speech_end = newest.end = None

    def _flush(self, flush: Flush, now_s: float) -> None:
        if self.state is not State.OPEN:
            raise ValueError(f"expected nothing after stop, and {flush.value} came.")
        if flush is Flush.STOP:
            self.state = State.STOPPING
        self._mark(self._endpoint.flush(self._tape.end))
        self._queue.append(flush)
        self._advance(now_s)

    def _advance(self, now_s: float) -> None:
        while self._queue and self._settle(self._queue[0], now_s):
            self._queue.popleft()
        self._tape.drop_before(self.keep_from)
        if self.state is not State.DONE:
            self._telling.flow(self._ack, now_s)

    def _settle(self, first: Utterance | Flush, now_s: float) -> bool:
        """Do all that can be done for the first in the queue; whether nothing is left to do."""
        if isinstance(first, Utterance):
            return self._step(first, now_s)
        if first is Flush.FINALIZE:
            self._telling.finalized()
        else:
            self.state = State.DONE
            self._telling.done(self._tape.end)
        return True

    def _step(self, u: Utterance, now_s: float) -> bool:
        """One utterance as far as it goes; whether its final is out."""
        self._telling.start(u)
        limit = u.start + samples(self.options.max_window_s)
        full = (self._endpoint.heard if u.end is None else u.end) > limit
        if u.ended and not full:
            self._telling.end(u, u.speech_end or u.onset)
        end = limit if full else u.end
        if end is None:
            self._requests.partial(u, self._endpoint.heard, now_s)
            return False
        if not self._attempted(u, end, full or u.ended, now_s):
            return False
        if full:
            self._cut_full(u, end)
            return self._step(u, now_s)
        self._telling.final(u, len(u.best), u.speech_end or u.onset, end)
        self._requests.clear()
        return True

    def _attempted(self, u: Utterance, end: int, due: bool, now_s: float) -> bool:
        """Whether all that may be tried for a final of the audio up to `end` was tried, and it is due."""
        attempt = u.attempted(end)
        if attempt is None and not due:
            deadline_s = now_s + seconds(self._endpoint.until_end)
            self._requests.speculate(u, end, self._endpoint.heard, now_s, deadline_s)
        elif attempt is None:
            self._requests.final(u, DecodeMode.FINAL, end, now_s, now_s)
        elif due and attempt.outcome is Outcome.FAILED and attempt.mode is DecodeMode.FINAL:
            self._requests.final(u, DecodeMode.FALLBACK, end, now_s, now_s)
        else:
            return due and attempt.outcome is not Outcome.WAITING
        return False

    def _hear(self, u: Utterance, request: DecodeRequest, hypothesis: Hypothesis) -> None:
        """What an answer means for the utterance that it is about."""
        if request.id < u.answered:
            return  # a newer window was answered before
        words, attempt = normalize_words(hypothesis), u.attempt_of(request.id)
        fit, verdict = u.agreement.fit(words), self.options.guards.judge(hypothesis)
        u.answered, u.decoded = request.id, max(u.decoded, request.end)
        if attempt and fit is Fit.MISFIT and request.prefix != u.agreement.prefix:
            u.attempt = None  # words were committed since it was asked for: ask again
            return
        if attempt:
            attempt.outcome = _outcome(request.mode, fit, verdict)
        if fit is Fit.MISFIT or verdict in (Verdict.LOOP, Verdict.SILENCE):
            u.best = () if request.mode is DecodeMode.FALLBACK else u.best
            return
        if fit is Fit.INSIDE:
            u.agreement.shorten()
        u.best = u.agreement.aligned(words)
        self._requests.keep_language(u, request, hypothesis.language)
        if fit is Fit.INSIDE:
            u.agreement.previous = u.best
        elif not u.ended:
            self._commit(u, request, u.best)

    def _commit(self, u: Utterance, request: DecodeRequest, words: tuple[HypothesisWord, ...]) -> None:
        """Words that are committed are shown, and cut off where the utterance has grown long."""
        length_s, margin_s = seconds(request.end - request.start), self.options.cut_margin_s
        long = length_s > self.options.cut_s and request.mode is DecodeMode.PARTIAL
        u.agreement.hear(words, length_s, ended_before(words, length_s - margin_s) if long else None)
        count = len(u.agreement.committed)
        cut = cut_after(words, count, length_s, margin_s) if long and u.end is None else None
        if cut is not None:
            self._cut(u, u.start + cut, count, request.end)
        self._telling.partial(u, request.end)

    def _cut_full(self, u: Utterance, end: int) -> None:
        """Cut a full window at the last word far enough from its end; where there is none, at its end."""
        length_s, margin_s = seconds(end - u.start), self.options.cut_margin_s
        count = max(ended_before(u.best, length_s - margin_s), len(u.agreement.committed))
        cut = cut_after(u.best, count, length_s, margin_s)
        if cut is None:
            self._cut(u, end, len(u.best), end)
        else:
            self._cut(u, u.start + cut, count, end)

    def _cut(self, u: Utterance, at: int, count: int, end: int) -> None:
        """The first `count` words of a window up to `end` go out as a final; a new segment begins at `at`."""
        self._telling.end(u, at)
        self._telling.final(u, count, at, end)
        self._requests.clear()
        u.restart(at, count, end)
        self._telling.start(u)


def _outcome(mode: DecodeMode, fit: Fit, verdict: Verdict) -> Outcome:
    """A doubtful hypothesis is good enough where nothing follows it."""
    good = verdict is Verdict.SOUND or (verdict is Verdict.DOUBTFUL and mode is DecodeMode.FALLBACK)
    return Outcome.PASSED if good and fit is not Fit.MISFIT else Outcome.FAILED
