"""What keeps finals while they are said: each session's audio until its finals, and a thread that writes."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from voxray.audio import Pcm
from voxray.serving.corrections.store import CorrectionStore
from voxray.streaming.audio_buffer import AudioBuffer
from voxray.streaming.events import Event, Final, samples

MARGIN_S = 0.25  # before and after what was said
MOST_WAITING = 64  # finals that are to be written; more are not kept
Keep = Callable[[Final, Pcm], None]

log = logging.getLogger(__name__)


class FinalRecorder:
    """The audio of a session that begins at sample `at`, and its finals. Pure: `keep` does what it likes."""

    def __init__(self, at: int, keep: Keep) -> None:
        self._buffer, self._keep = AudioBuffer(at), keep
        self._start = at

    def receive_audio(self, pcm: Pcm) -> None:
        """Receive what the session receives."""
        self._buffer.append(pcm)

    def send(self, events: Iterable[Event], keep_from: int) -> None:
        """Keep the finals in `events`; audio before sample `keep_from` has its finals."""
        for event in events:
            if isinstance(event, Final) and event.text:
                start = max(self._start, samples(event.start_s - MARGIN_S))
                end = min(self._buffer.end, samples(event.end_s + MARGIN_S))
                self._keep(event, self._buffer.read(start, end).copy())
        self._start = max(self._start, keep_from - samples(MARGIN_S))
        self._buffer.drop_before(self._start)


class FinalWriter:
    """Writes finals to a store, one after another, in a thread of its own; what is too many is not kept."""

    def __init__(self, store: CorrectionStore, most_waiting: int = MOST_WAITING) -> None:
        self._store, self._most = store, most_waiting
        self._pool = ThreadPoolExecutor(1, "voxray-corrections")
        self._room = threading.Semaphore(most_waiting)

    def keep_for(self, owner: str) -> Keep | None:
        """Return what keeps the finals of a session of `owner`; None if they are not to be kept."""
        if not self._store.is_enabled(owner):
            return None

        def keep(final: Final, pcm: Pcm) -> None:
            if self._room.acquire(blocking=False):
                self._pool.submit(self._write, owner, final, pcm)
            else:
                log.warning("a final is not kept: %d wait to be written", self._most)

        return keep

    def close(self) -> None:
        """Return once all that waits is written."""
        self._pool.shutdown()

    def _write(self, owner: str, final: Final, pcm: Pcm) -> None:
        try:
            self._store.add(owner, final, pcm, time.time())
        except OSError as e:
            log.warning("a final is not kept (%s)", e)
        finally:
            self._room.release()
