"""Who may choose which models, and what their names stand for."""

import asyncio
from pathlib import Path

import pytest
from tests.small_model import SMALL_MODEL_INT8
from tests.unit.serving.trainings.finished import finished_training

from voxray.errors import ModelError
from voxray.serving.api_error import ApiError
from voxray.serving.gateway.auth import AccessPolicy
from voxray.serving.model_catalog import ModelCatalog
from voxray.serving.model_sources import ModelSources
from voxray.serving.settings import ServiceArgs
from voxray.serving.trainings.states import TrainingStatus
from voxray.serving.trainings.store import TrainingStore

NAMED = {"quick": "/models/quick", "same": "tiny.en"}


class Names:
    """The catalog of a service with the keys `a` and `b`, and others that have a default of their own."""

    def __init__(self, directory: Path | None = None, keys: str = "a,b,c quick") -> None:
        args = ServiceArgs.model_validate({"models": NAMED, "trainings": {"dir": directory}})
        self.policy = AccessPolicy.of(args, {"VOXRAY_API_KEYS": keys})
        self.catalog, self.sources = ModelCatalog(args, self.policy), ModelSources(args)

    def choose(self, asked: str | None, key: str = "a") -> str | None:
        return asyncio.run(self.catalog.choose(asked, key))

    def error(self, asked: str, key: str = "a") -> ApiError:
        with pytest.raises(ApiError) as raised:
            self.choose(asked, key)
        return raised.value

    def names(self, key: str = "a") -> tuple[str, ...]:
        return asyncio.run(self.catalog.names(key))


def test_a_client_chooses_a_model_or_gets_the_default_of_its_key() -> None:
    names = Names()

    assert [names.choose(asked) for asked in (None, "", "whisper-1", "tiny.en", "same")] == [None] * 5
    assert names.choose("quick") == "quick"
    assert [names.choose(asked, "c") for asked in (None, "whisper-1", "quick")] == ["quick"] * 3
    assert names.choose("tiny.en", "c") is None
    assert names.names() == ("tiny.en", "quick", "same")
    assert names.names("c") == ("quick", "tiny.en", "same")


def test_an_unknown_name_is_answered_with_those_that_there_are() -> None:
    error = Names().error("large-v3")

    assert (error.status, error.param, error.code) == (404, "model", "model_not_found")
    assert error.message == "model: expected one of tiny.en, quick, same, got 'large-v3'."


def test_a_training_is_a_model_of_its_key_from_its_success_to_its_deletion(tmp_path: Path) -> None:
    names = Names(tmp_path)
    assert names.names() == ("tiny.en", "quick", "same")
    folder = finished_training(tmp_path, SMALL_MODEL_INT8, owner=names.policy.owner("a"))

    assert names.names() == ("tiny.en", "quick", "same", folder.id)
    assert names.choose(folder.id) == folder.id
    assert names.sources.find(folder.id) == str(folder.path / "exports" / "ct2")
    [*_, entry] = asyncio.run(names.catalog.entries("a"))
    assert (entry.trained, entry.created_at) == (True, 7.0)
    assert folder.id not in names.names("b")
    assert folder.id not in names.error(folder.id, "b").message.partition("got")[0]

    TrainingStore(tmp_path).delete(folder)

    assert names.names() == ("tiny.en", "quick", "same")
    assert names.error(folder.id).code == "model_not_found"
    with pytest.raises(ModelError, match=r"expected one of tiny\.en, quick, same, or a training"):
        names.sources.find(folder.id)


@pytest.mark.parametrize("status", list(TrainingStatus))
def test_a_training_without_a_model_that_passed_is_none(tmp_path: Path, status: TrainingStatus) -> None:
    names = Names(tmp_path)
    model = None if status is TrainingStatus.SUCCEEDED else SMALL_MODEL_INT8
    folder = finished_training(tmp_path, model, owner=names.policy.owner("a"), status=status)

    assert names.error(folder.id).code == "model_not_found"


def test_a_training_can_be_the_default_of_another_key(tmp_path: Path) -> None:
    owner = AccessPolicy.of(ServiceArgs(), {"VOXRAY_API_KEYS": "a"}).owner("a")
    folder = finished_training(tmp_path, SMALL_MODEL_INT8, owner=owner)
    names = Names(tmp_path, f"a,customer {folder.id}")

    assert names.choose(None, "customer") == folder.id
    assert names.choose(folder.id, "customer") == folder.id
    assert names.names("customer")[0] == folder.id

    TrainingStore(tmp_path).delete(folder)

    assert names.names("customer")[0] == "tiny.en"
    with pytest.raises(ApiError, match=r"expected one of tiny\.en"):
        names.choose(None, "customer")
