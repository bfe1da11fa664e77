"""The audio of a session's finals, for those keys that want it recorded."""

from collections.abc import Callable, Iterable

from voxray.audio import Pcm
from voxray.streaming.audio_buffer import AudioBuffer
from voxray.streaming.events import Event, Final, samples

MARGIN_S = 0.25  # before and after a final's words

FinalSink = Callable[[Final, Pcm], None]
"""Receives a final and the audio of it, int16 at 16 kHz. It must return at once: sessions wait for it."""

FinalSinks = Callable[[str], FinalSink | None]
"""Returns the sink of a key's finals by the key's owner (`AccessPolicy.owner`); None if it did not opt in."""


def no_sink(owner: str) -> FinalSink | None:
    """Return the sink where no finals are recorded."""
    return None


class FinalRecorder:
    """Cuts the finals of a session that begins at sample `at` out of its audio, for `sink`."""

    def __init__(self, at: int, sink: FinalSink) -> None:
        self._buffer, self._sink = AudioBuffer(at), sink
        self._start = at

    def receive_audio(self, pcm: Pcm) -> None:
        """Receive the samples that the session receives."""
        self._buffer.append(pcm)

    def receive_events(self, events: Iterable[Event], keep_from: int) -> None:
        """Receive what the session sends; no later final needs audio before sample `keep_from`."""
        for event in events:
            if isinstance(event, Final) and event.text:
                start = max(self._start, samples(event.start_s - MARGIN_S))
                end = min(self._buffer.end, samples(event.end_s + MARGIN_S))
                if start < end:
                    self._sink(event, self._buffer.read(start, end))
        self._start = max(self._start, min(keep_from - samples(MARGIN_S), self._buffer.end))
        self._buffer.drop_before(self._start)
