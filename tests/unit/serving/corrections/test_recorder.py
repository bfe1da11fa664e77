import threading
from pathlib import Path

import numpy as np
from tests.unit.serving.sessions.test_host import STOP, Scene, host_of, texts

from voxray.audio import Pcm
from voxray.serving.corrections.recorder import FinalRecorder, FinalWriter
from voxray.serving.corrections.store import CorrectionStore
from voxray.serving.protocol import Opened, Opening
from voxray.serving.settings import CorrectionSettings
from voxray.streaming.events import Final, samples
from voxray.wire import Start

SECOND = samples(1.0)


def test_a_final_is_kept_with_its_audio_and_a_margin() -> None:
    kept = list[tuple[Final, Pcm]]()
    recorder = FinalRecorder(0, lambda final, pcm: kept.append((final, pcm)))
    pcm = np.arange(4 * SECOND, dtype=np.int32).astype(np.int16)
    for at in range(0, len(pcm), SECOND):
        recorder.receive_audio(pcm[at : at + SECOND])

    first, last = Final(0, 1.0, 2.0, "one"), Final(1, 3.0, 4.0, "two")
    recorder.send([first, Final(1, 2.0, 2.1, "")], keep_from=samples(2.5))
    recorder.send([last], keep_from=samples(4.0))

    assert [final for final, _ in kept] == [first, last]
    assert np.array_equal(kept[0][1], pcm[samples(0.75) : samples(2.25)])
    assert np.array_equal(kept[1][1], pcm[samples(2.75) :])


def test_a_session_of_a_key_that_wants_it_keeps_its_finals(tmp_path: Path) -> None:
    store = CorrectionStore(CorrectionSettings(dir=tmp_path))
    store.enable("ab", enabled=True)
    writer = FinalWriter(store)
    scene = Scene(host_of(keep_for=writer.keep_for))
    for owner in ("ab", "cd"):
        opened = scene.host.open(Opening("gw", Start(), owner=owner), scene.now_s)
        assert isinstance(opened, Opened)
        sent = texts(scene.play(opened) + scene.settle(opened, STOP))
        assert sent

    writer.close()

    assert [kept.text for kept in store.pending("ab", 9)] == sent
    (audio,) = tmp_path.rglob("*.flac")
    assert audio.stat().st_size > 1_000


class SlowStore(CorrectionStore):
    """Writes nothing until it may."""

    def __init__(self, settings: CorrectionSettings) -> None:
        super().__init__(settings)
        self.may_write = threading.Event()

    def add(self, owner: str, final: Final, pcm: Pcm, now: float) -> None:
        assert self.may_write.wait(30)
        super().add(owner, final, pcm, now)


def test_a_slow_disk_costs_finals_and_no_memory(tmp_path: Path) -> None:
    store = SlowStore(CorrectionSettings(dir=tmp_path))
    store.enable("", enabled=True)
    writer = FinalWriter(store, most_waiting=2)
    keep = writer.keep_for("")
    assert keep
    for number in range(5):
        keep(Final(number, 0.0, 1.0, str(number)), np.zeros(SECOND, np.int16))
    store.may_write.set()
    writer.close()

    assert len(store.pending("", 9)) == 2
