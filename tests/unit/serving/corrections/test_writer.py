import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.service.launched import wait_until
from tests.unit.serving.corrections.test_store import TONE
from tests.unit.serving.sessions.test_host import STOP, Scene, host_of, texts

from voxray.audio import Pcm
from voxray.serving.corrections.store import CorrectionStore
from voxray.serving.corrections.writer import FinalWriter
from voxray.serving.protocol import Opened, Opening
from voxray.serving.settings import CorrectionSettings
from voxray.streaming.events import Final, samples
from voxray.wire import Start

OWNER, OTHER = "ab", "cd"
FINAL = Final(0, 0.0, 1.0, "one")


class HeldStore(CorrectionStore):
    """Writes nothing until it may."""

    def __init__(self, settings: CorrectionSettings) -> None:
        super().__init__(settings)
        self.may_write = threading.Event()

    def add(self, owner: str, final: Final, pcm: Pcm, now: float) -> bool:
        assert self.may_write.wait(30)
        return super().add(owner, final, pcm, now)


@pytest.fixture
def store(tmp_path: Path) -> HeldStore:
    store = HeldStore(CorrectionSettings(dir=tmp_path))
    store.enable(OWNER, enabled=True)
    return store


@pytest.fixture
def observed() -> Counter[str]:
    return Counter()


@pytest.fixture
def writer(store: HeldStore, observed: Counter[str]) -> Iterator[FinalWriter]:
    def observe(name: str, value: float) -> None:
        observed[name] += int(value)

    writer = FinalWriter(store, observe, max_queued=2)
    wait_until(lambda: writer.sink_of(OWNER), 30)
    yield writer
    store.may_write.set()
    writer.close()


def test_only_sessions_of_a_key_that_opted_in_are_recorded(writer: FinalWriter, store: HeldStore) -> None:
    store.may_write.set()
    scene = Scene(host_of(sink_of=writer.sink_of))
    for owner in (OWNER, OTHER):
        opened = scene.host.open(Opening("gw", Start(), owner=owner), scene.now_s)
        assert isinstance(opened, Opened)
        sent = texts(scene.play(opened) + scene.settle(opened, STOP))
        assert sent

    writer.close()

    assert [clip.text for clip in store.pending(OWNER, 9)] == sent
    assert store.counts(OTHER) == (0, 0)


def test_a_slow_disk_loses_finals_and_holds_nothing_up(
    writer: FinalWriter, store: HeldStore, observed: Counter[str]
) -> None:
    sink = writer.sink_of(OWNER)
    assert sink
    for _ in range(5):
        sink(FINAL, TONE)  # returns although nothing is written
    assert store.counts(OWNER) == (0, 0)
    store.may_write.set()
    writer.close()

    assert store.counts(OWNER) == (2, 0)
    assert observed == {"recorded": 2, "not_recorded": 3}


def test_a_disk_that_fails_is_reported_once_without_the_text(
    writer: FinalWriter, store: HeldStore, observed: Counter[str], caplog: pytest.LogCaptureFixture
) -> None:
    store.may_write.set()
    sink = writer.sink_of(OWNER)
    assert sink
    (store.corpus(OWNER).parent / "pending").rmdir()
    (store.corpus(OWNER).parent / "pending").touch()
    for _ in range(2):
        sink(FINAL, TONE)
    writer.close()

    assert observed["not_recorded"] == 2
    assert [record.message for record in caplog.records] == [
        "finals are not recorded for correction: Not a directory"
    ]


def test_a_key_opts_in_and_out_while_the_service_runs(
    writer: FinalWriter, store: HeldStore, observed: Counter[str]
) -> None:
    store.may_write.set()
    assert writer.sink_of(OTHER) is None
    store.enable(OTHER, enabled=True)
    wait_until(lambda: writer.sink_of(OTHER), 30)
    sink = writer.sink_of(OTHER)
    assert sink
    store.enable(OTHER, enabled=False)
    sink(FINAL, np.zeros(samples(1.0), np.int16))  # in a session that goes on
    writer.close()

    assert store.counts(OTHER) == (0, 0)
    assert observed == {"recorded": 0, "not_recorded": 0}
