"""The items of a Realtime transcription session: pieces of the audio, each with its transcript.

With turn detection, a turn is an item: announced when its speech starts, committed when it ends, completed
with its last final. A commit of the client ends the item at once, and the session is flushed: all text until
its `Finalized` belongs to the item. Without turn detection only commits make items, and the text of an item
is held back until its commit. A clear flushes too, but what comes until the `Finalized` is dropped.
"""

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
    """One item. `text` is that of its finished segments, `sent` what went out as deltas.

    `audible`: deltas go out although it is not committed.
    """

    id: str
    audible: bool
    committed: bool = False
    dropped: bool = False
    text: str = ""
    sent: str = ""
    seconds: float = 0.0
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
        """Return what is new since the last call; nothing while the text is held back."""
        if self.dropped or not (self.audible or self.committed):
            return ""
        whole = (self.lead or "") + self.stable if self.stable else self.text
        delta, self.sent = whole[len(self.sent) :], whole
        return delta


class TranscriptionItems:
    """The items of one session, and the events about them, without their `event_id`.

    Times are seconds from the session's start, `silence_s` the silence that ends a turn, or None.
    """

    def __init__(self, new_id: Callable[[], str], *, beta: bool) -> None:
        self.silence_s: float | None = None  # see `set_silence`
        self.beta = beta
        self.appended_s = 0.0
        self._new_id = new_id
        self._committed_s = 0.0  # audio before it is not in the buffer
        self._last_id: str | None = None
        self._turn: Item | None = None  # whose segments come now
        self._turn_ended = False
        self._buffer = self._new_item()  # without turn detection: the item that is not committed
        self._flushes = deque[Item]()  # committed or dropped by the client, and not flushed yet

    def set_silence(self, silence_s: float | None) -> None:
        """Turn turn detection on or off; only before the first audio."""
        self.silence_s = silence_s
        self._buffer = self._new_item()

    @property
    def buffered_ms(self) -> float:
        """How much audio is not committed."""
        return max(0.0, self.appended_s - self._committed_s) * 1000

    # For the client.

    def commit(self) -> Events:
        """Make an item of the buffer; the session must be flushed."""
        item = self._uncommitted()
        self._flushes.append(item)
        self._committed_s = self.appended_s
        return [*self._commit(item), *self._delta(item)]

    def clear(self) -> None:
        """Drop the buffer; the session must be flushed."""
        item = self._uncommitted()
        item.dropped = True
        self._flushes.append(item)
        self._committed_s = self.appended_s

    # For the session.

    def speech_started(self, at_s: float) -> Events:
        """A turn begins at `at_s`."""
        self._turn_ended = False
        if self._flushes:
            self._turn = self._flushes[0]
            return []
        if self.silence_s is None:
            self._turn = self._buffer
            return []
        self._turn = self._new_item()
        event = {"type": "input_audio_buffer.speech_started", "item_id": self._turn.id}
        return [event | {"audio_start_ms": round(max(0.0, at_s - PADDING_S) * 1000)}]

    def text_grew(self, stable: str) -> Events:
        """The present segment has come to `stable`."""
        turn = self._present_turn()
        turn.grow(stable)
        return self._delta(turn)

    def speech_stopped(self, at_s: float) -> Events:
        """The present turn ends at `at_s`; its last segment is still to come."""
        turn, self._turn_ended = self._present_turn(), True
        if self.silence_s is None or turn.committed or turn.dropped:
            return []
        end_s = min(at_s + self.silence_s, self.appended_s)
        self._committed_s = max(self._committed_s, end_s)
        event = {"type": "input_audio_buffer.speech_stopped", "item_id": turn.id}
        return [event | {"audio_end_ms": round(end_s * 1000)}, *self._commit(turn)]

    def segment_finished(self, text: str, seconds: float) -> Events:
        """A segment of the present turn is final."""
        turn = self._present_turn()
        turn.finish_segment(text, seconds)
        if not self._turn_ended:
            return self._delta(turn)
        self._turn = None
        flushed = any(item is turn for item in self._flushes)
        if flushed or self.silence_s is None:
            return self._delta(turn)
        return self._complete(turn)

    def flushed(self) -> Events:
        """The session has answered the flush of the oldest commit or clear."""
        return self._complete(self._flushes.popleft())

    def _new_item(self) -> Item:
        return Item(f"item_{self._new_id()}", audible=self.silence_s is not None)

    def _uncommitted(self) -> Item:
        """Return the item to which the audio in the buffer belongs."""
        if self.silence_s is None:
            item, self._buffer = self._buffer, self._new_item()
            return item
        turn = self._turn
        return turn if turn and not (turn.committed or turn.dropped) else self._new_item()

    def _present_turn(self) -> Item:
        if self._turn is None:
            self.speech_started(self.appended_s)
        assert self._turn is not None
        return self._turn

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
        delta = item.next_delta()
        event = {"type": f"{TRANSCRIPTION}.delta", "item_id": item.id, "content_index": 0, "delta": delta}
        return [event] if delta else []

    def _complete(self, item: Item) -> Events:
        if item.dropped:
            return []
        event = {"type": f"{TRANSCRIPTION}.completed", "item_id": item.id, "content_index": 0}
        usage = {"type": "duration", "seconds": round(item.seconds, 3)}
        return [*self._delta(item), event | {"transcript": item.sent, "usage": usage}]
