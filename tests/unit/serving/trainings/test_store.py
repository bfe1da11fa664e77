import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from voxray.serving.trainings.states import MAX_ATTEMPTS, TrainingRequest, TrainingState, TrainingStatus
from voxray.serving.trainings.store import TrainingFolder, TrainingStore, new_id


def request(**values: Any) -> TrainingRequest:
    given: dict[str, Any] = {"id": new_id(), "owner": "me", "created_at": 1.0, "kind": "finetune", **values}
    return TrainingRequest.model_validate(given)


def made(store: TrainingStore, **values: Any) -> TrainingFolder:
    asked = request(**values)
    with store.creating(asked):
        pass
    folder = store.find(asked.id)
    assert folder
    return folder


def test_a_training_is_found_again_by_another_store(tmp_path: Path) -> None:
    folder = made(TrainingStore(tmp_path), keys={"max_steps": "2"})

    found = TrainingStore(tmp_path).find(folder.id)

    assert found
    assert found.request.keys == {"max_steps": "2"}
    assert found.state == TrainingState()


def test_what_fails_while_it_is_made_leaves_nothing(tmp_path: Path) -> None:
    with suppress(OSError), TrainingStore(tmp_path).creating(request()) as folder:
        folder.data.mkdir()
        raise OSError("full")

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("id", ["", "..", "../x", "train-1", "train-" + "G" * 32, ".new-train-" + "0" * 32])
def test_only_ids_are_looked_for(id: str, tmp_path: Path) -> None:
    assert TrainingStore(tmp_path).find(id) is None


def test_each_owner_has_its_own_the_newest_first(tmp_path: Path) -> None:
    store = TrainingStore(tmp_path)
    old, new = made(store, created_at=1.0), made(store, created_at=2.0)
    made(store, owner="another")

    assert [f.id for f in store.owned_by("me")] == [new.id, old.id]


def test_a_training_is_cancelled_from_the_moment_that_it_is_marked(tmp_path: Path) -> None:
    store = TrainingStore(tmp_path)
    folder, done = made(store), made(store)
    done.write_state(done.state.started(1.0).ended(TrainingStatus.SUCCEEDED, 2.0))
    folder.cancel()
    done.cancel()

    assert folder.state.status is TrainingStatus.CANCELLED
    assert done.state.status is TrainingStatus.SUCCEEDED  # what has ended stays as it is
    assert not store.unfinished()


def test_a_process_that_goes_on_keeps_the_time_of_the_first(tmp_path: Path) -> None:
    state = TrainingState().started(1.0).started(5.0)

    assert (state.status, state.attempts, state.started_at) == (TrainingStatus.RUNNING, 2, 1.0)
    assert MAX_ATTEMPTS > 1


def test_a_deleted_training_is_gone_from_the_disk(tmp_path: Path) -> None:
    store = TrainingStore(tmp_path)
    folder = made(store)
    folder.data.mkdir()
    (folder.data / "a.wav").write_bytes(b"1")

    store.delete(folder)

    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        _ = folder.state


def test_what_a_killed_gateway_left_is_swept_and_what_another_makes_is_not(tmp_path: Path) -> None:
    store = TrainingStore(tmp_path)
    for name in (".new-old", ".new-young", ".deleted-x", ".files/a.1.part", ".files/.deleted-b", ".files/c"):
        (tmp_path / name).mkdir(parents=True)
    for name in (".new-old", ".files/a.1.part", ".files/c"):
        os.utime(tmp_path / name, (time.time() - 1e6,) * 2)

    store.sweep()

    assert {path.name for path in tmp_path.iterdir()} == {".new-young", ".files"}
    assert [path.name for path in (tmp_path / ".files").iterdir()] == ["c"]


@pytest.mark.parametrize("written", ["", '{"id": "train-x", "of_a_later_version": 1}'])
def test_a_training_that_cannot_be_read_does_not_hide_the_others(
    written: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = TrainingStore(tmp_path)
    whole, broken = made(store), made(store)
    (broken.path / "request.json").write_text(written)

    assert [folder.id for folder in store.owned_by("me")] == [whole.id]
    assert f"{broken.id} is left out" in caplog.text
