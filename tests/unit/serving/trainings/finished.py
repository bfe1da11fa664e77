"""A training that has succeeded, without training anything."""

import shutil
from pathlib import Path

from voxray.serving.trainings.states import TrainingRequest, TrainingState, TrainingStatus
from voxray.serving.trainings.store import TrainingFolder, TrainingStore, new_id


def finished_training(
    directory: Path,
    model: Path | None = None,
    *,
    owner: str = "",
    status: TrainingStatus = TrainingStatus.SUCCEEDED,
) -> TrainingFolder:
    """Add one to the store in `directory`, whose export is a copy of `model`; without it there is none."""
    store = TrainingStore(directory)
    request = TrainingRequest(id=new_id(), owner=owner, created_at=7.0, kind="finetune")
    with store.creating(request):
        pass
    folder = store.find(request.id)
    assert folder
    if model:
        shutil.copytree(model, folder.path / "exports" / "ct2")
    folder.write_state(TrainingState().started(8.0).ended(status, 9.0))
    return folder
