"""The items of a Realtime transcription session: pieces of the audio, each with its transcript.

    TurnItems     with turn detection: a turn is an item, announced when its speech starts, committed when it
                  ends, completed with its last final
    CommitItems   without: an item is what the client commits, and its text is held back until then

A commit or a clear of the client flushes the session, whose `Finalized` says that all before it is told.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from voxray.streaming.endpoint import EndpointOptions
from voxray.writing_systems import join_texts

Events = list[dict[str, Any]]
MIN_COMMIT_MS = 100
PADDING_S = EndpointOptions().pre_roll_ms / 1000
TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass(slots=True)
class Item:
    """One item. `text` is that of its finished segments, `sent` what went out as deltas."""

    id: str
    committed: bool = False
    dropped: bool = False  # nothing of it is told
    text: str = ""
    sent: str = ""
    seconds: float = 0.0
    end_s: float = 0.0  # where the client has committed or cleared it
    lead: str | None = None  # what stands before the present segment: `text`, and a space where one is needed
    stable: str = ""  # of the present segment

    def grow(self, stable: str) -> None:
        """The present segment has come to `stable`."""
        if stable and self.lead is None:
            self.lead = join_texts([self.text, stable]).removesuffix(stable)
        self.stable = stable

    def finish_segment(self, text: str, seconds: float) -> None:
        """The present segment ends with `text`, which begins with its last `stable`."""
        self.grow(text)
        self.text = (self.lead or "") + text if text else self.text
        self.seconds += seconds
        self.lead, self.stable = None, ""

    def next_delta(self) -> str:
        """Return what is new since the last call."""
        whole = (self.lead or "") + self.stable if self.stable else self.text
        delta, self.sent = whole[len(self.sent) :], whole
        return delta


class TranscriptionItems(ABC):
    """The items of one session, and the events about them, without their `event_id`.

    Times are seconds from the session's start.
    """

    def __init__(self, new_id: Callable[[], str], *, beta: bool) -> None:
        self.beta = beta
        self.appended_s = 0.0
        self._new_id = new_id
        self._committed_s = 0.0  # audio before it is not in the buffer
        self._last_id: str | None = None
        self._turn = self._new_item()  # whose segments come now
        self._flushes = deque[Item]()  # one for each commit and clear that is not flushed yet

    @property
    def buffered_ms(self) -> float:
        """How much audio is not committed."""
        return max(0.0, self.appended_s - self._committed_s) * 1000

    @abstractmethod
    def commit(self) -> Events:
        """Make an item of the buffer; the session must be flushed."""

    @abstractmethod
    def clear(self) -> None:
        """Drop the buffer; the session must be flushed."""

    @abstractmethod
    def speech_started(self, at_s: float) -> Events:
        """A turn begins at `at_s`."""

    @abstractmethod
    def speech_stopped(self, at_s: float) -> Events:
        """The present turn ends at `at_s`; its last segment is still to come."""

    @abstractmethod
    def flushed(self) -> Events:
        """The session has answered the flush of the oldest commit or clear."""

    def text_grew(self, stable: str) -> Events:
        """The present segment has come to `stable`."""
        self._turn.grow(stable)
        return self._delta(self._turn)

    def segment_finished(self, text: str, seconds: float) -> Events:
        """A segment of the present turn is final."""
        self._turn.finish_segment(text, seconds)
        return self._delta(self._turn)

    def _new_item(self) -> Item:
        return Item(f"item_{self._new_id()}")

    def _flush(self, item: Item) -> None:
        self._flushes.append(item)
        item.end_s = self._committed_s = self.appended_s

    def _commit(self, item: Item) -> Events:
        item.committed = True
        links = {"previous_item_id": self._last_id}
        self._last_id = item.id
        content = [{"type": "input_audio", "transcript": None}]
        message = {"id": item.id, "object": "realtime.item", "type": "message", "role": "user"}
        created = links | {"item": message | {"status": "completed", "content": content}}
        kinds = ("created",) if self.beta else ("added", "done")
        committed = {"type": "input_audio_buffer.committed", "item_id": item.id, **links}
        return [committed, *({"type": f"conversation.item.{kind}", **created} for kind in kinds)]

    def _delta(self, item: Item) -> Events:
        if item.dropped or not (delta := item.next_delta()):
            return []
        event = {"type": f"{TRANSCRIPTION}.delta", "item_id": item.id, "content_index": 0}
        return [event | {"delta": delta}]

    def _complete(self, item: Item) -> Events:
        if item.dropped:
            return []
        event = {"type": f"{TRANSCRIPTION}.completed", "item_id": item.id, "content_index": 0}
        usage = {"type": "duration", "seconds": round(item.seconds, 3)}
        return [*self._delta(item), event | {"transcript": item.sent, "usage": usage}]


class CommitItems(TranscriptionItems):
    """The items of a session without turn detection."""

    def __init__(self, new_id: Callable[[], str], *, beta: bool) -> None:
        super().__init__(new_id, beta=beta)
        self._buffer = self._new_item()

    def commit(self) -> Events:
        """See `TranscriptionItems`."""
        item, self._buffer = self._buffer, self._new_item()
        self._flush(item)
        return [*self._commit(item), *self._delta(item)]

    def clear(self) -> None:
        """See `TranscriptionItems`."""
        self._buffer.dropped = True
        self._flush(self._buffer)
        self._buffer = self._new_item()

    def speech_started(self, at_s: float) -> Events:
        """See `TranscriptionItems`."""
        self._turn = self._flushes[0] if self._flushes else self._buffer
        return []

    def speech_stopped(self, at_s: float) -> Events:
        """See `TranscriptionItems`."""
        return []

    def flushed(self) -> Events:
        """See `TranscriptionItems`."""
        return self._complete(self._flushes.popleft())

    def _delta(self, item: Item) -> Events:
        return super()._delta(item) if item.committed else []


class TurnItems(TranscriptionItems):
    """The items of a session in which `silence_s` of silence end a turn.

    A commit ends the turn that is being spoken, which then has no `speech_stopped`; where none is, it makes
    an item without text.
    """

    def __init__(self, new_id: Callable[[], str], silence_s: float, *, beta: bool) -> None:
        super().__init__(new_id, beta=beta)
        self._silence_s = silence_s
        self._speaking = False

    def commit(self) -> Events:
        """See `TranscriptionItems`."""
        self._flush(self._new_item())
        return []

    def clear(self) -> None:
        """See `TranscriptionItems`."""
        is_last = self._speaking and not self._flushes
        item = self._turn if is_last else self._new_item()
        item.dropped = True
        self._flush(item)

    def speech_started(self, at_s: float) -> Events:
        """See `TranscriptionItems`."""
        self._speaking = True
        if self._flushes and self._flushes[0].dropped:
            self._turn = self._flushes[0]
            return []
        self._turn = self._new_item()
        event = {"type": "input_audio_buffer.speech_started", "item_id": self._turn.id}
        return [event | {"audio_start_ms": round(max(0.0, at_s - PADDING_S) * 1000)}]

    def speech_stopped(self, at_s: float) -> Events:
        """See `TranscriptionItems`."""
        self._speaking = False
        if self._turn.dropped:
            return []
        end_s = at_s + self._silence_s
        if self._flushes and end_s > self._flushes[0].end_s:
            self._flushes[0].committed = True  # it is this turn, which did not end by itself
            return self._commit(self._turn)
        self._committed_s = max(self._committed_s, end_s)
        event = {"type": "input_audio_buffer.speech_stopped", "item_id": self._turn.id}
        return [event | {"audio_end_ms": round(end_s * 1000)}, *self._commit(self._turn)]

    def segment_finished(self, text: str, seconds: float) -> Events:
        """See `TranscriptionItems`."""
        events = super().segment_finished(text, seconds)
        return events if self._speaking else [*events, *self._complete(self._turn)]

    def flushed(self) -> Events:
        """See `TranscriptionItems`."""
        item = self._flushes.popleft()
        return [] if item.committed or item.dropped else [*self._commit(item), *self._complete(item)]
