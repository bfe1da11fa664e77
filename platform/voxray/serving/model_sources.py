"""The models beside the default by their names: those of the settings, and trainings that have succeeded."""

from contextlib import suppress
from pathlib import Path

from voxray.errors import ModelError
from voxray.serving.settings import ServiceArgs
from voxray.serving.trainings.states import TrainingStatus
from voxray.serving.trainings.store import SERVED_FORMAT, TrainingFolder, TrainingStore


class ModelSources:
    """What the names of models stand for. Trainings are looked up on disk: methods may wait for it."""

    def __init__(self, args: ServiceArgs) -> None:
        self.default, self.named = args.model, args.models
        self._store = TrainingStore(args.trainings.dir) if args.trainings.dir else None

    def find(self, name: str) -> str:
        """Return what `whisper.models.ctranslate2_folder` takes for a model; ModelError if there is none."""
        if source := self.named.get(name):
            return source
        if training := self.training(name):
            return str(trained_model(training))
        known = ", ".join([self.default, *self.named])
        raise ModelError(f"model: expected one of {known}, or a training that has succeeded, got {name!r}.")

    def training(self, id: str) -> TrainingFolder | None:
        """Return the training with this id if its model can be served, or None."""
        folder = self._store.find(id) if self._store else None
        return folder if folder and trained_model(folder) else None

    def trainings(self, owner: str) -> list[TrainingFolder]:
        """Return the trainings of one key whose models can be served, the newest first."""
        return [f for f in self._store.owned_by(owner) if trained_model(f)] if self._store else []


def trained_model(folder: TrainingFolder) -> Path | None:
    """Return a training's model in the form that is served; None where it has none, or has not succeeded."""
    with suppress(FileNotFoundError):  # it was deleted meanwhile
        return folder.model(SERVED_FORMAT) if folder.state.status is TrainingStatus.SUCCEEDED else None
    return None
