"""Writes finals to a store beside the sessions, which never wait for the disk."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from voxray.audio import Pcm
from voxray.serving.corrections.store import CorrectionStore
from voxray.serving.observe import Observe, unobserved
from voxray.serving.sessions.final_recorder import FinalSink
from voxray.streaming.events import Final

MAX_QUEUED = 64  # finals; a final has at most some 10 s of audio
REFRESH_S = 1.0  # between looks at who has opted in

log = logging.getLogger(__name__)


class FinalWriter:
    """Writes finals to `store` in a thread of its own; those that come while `max_queued` wait are lost.

    `observe` receives 1 for each final that was `recorded`, and for each that was `not_recorded` because the
    queue was full or the disk refused it. Call `close` in the end.
    """

    def __init__(
        self, store: CorrectionStore, observe: Observe = unobserved, max_queued: int = MAX_QUEUED
    ) -> None:
        self._store, self._observe = store, observe
        self._room = threading.Semaphore(max_queued)
        self._pool = ThreadPoolExecutor(1, "voxray-corrections")
        self._failing = False
        self._closed = threading.Event()
        for name in ("recorded", "not_recorded"):
            observe(name, 0)  # no thread may add a name later, while others are read
        self._owners = frozenset[str]()
        threading.Thread(target=self._look_for_owners, name="voxray-corrections-owners", daemon=True).start()

    def sink_of(self, owner: str) -> FinalSink | None:
        """Return the sink of a new session's finals; None if its key had not opted in a second ago."""
        if owner not in self._owners:
            return None

        def write_later(final: Final, pcm: Pcm) -> None:
            if self._room.acquire(blocking=False):
                self._pool.submit(self._write, owner, final, pcm)
            else:
                self._lost("the disk is too slow")

        return write_later

    def close(self) -> None:
        """Return once all that is queued is written."""
        self._closed.set()
        self._pool.shutdown()

    def _look_for_owners(self) -> None:
        """Look who has opted in, here and not where sessions open: storage may hang, or be away."""
        while not self._closed.is_set():
            with suppress(OSError):
                self._owners = self._store.enabled_owners()
            self._closed.wait(REFRESH_S)

    def _write(self, owner: str, final: Final, pcm: Pcm) -> None:
        try:
            if self._store.add(owner, final, pcm, time.time()):
                self._observe("recorded", 1)
            self._failing = False
        except Exception as e:  # of the storage, or a defect, whose message may quote the text
            self._lost(e.strerror or "error" if isinstance(e, OSError) else type(e).__name__)
        finally:
            self._room.release()

    def _lost(self, reason: str) -> None:
        """Count a final that is not recorded, and log the first of a series."""
        self._observe("not_recorded", 1)
        if not self._failing:
            log.warning("finals are not recorded for correction: %s", reason)
        self._failing = True
