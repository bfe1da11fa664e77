"""OpenAI's own client against the trainings, over a real socket."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.unit.serving.rest.test_routes import listening
from tests.unit.serving.trainings.test_routes import DATA, KEYS, ScriptedRunner, app_of, finished

from voxray.serving.trainings.store import TrainingStore


@pytest.fixture
def client(tmp_path: Path) -> Iterator[openai.OpenAI]:
    with listening(app_of(tmp_path, ScriptedRunner())) as address:
        yield openai.OpenAI(api_key="mine", base_url=f"{address}/v1", max_retries=0)


def test_a_file_is_trained_on_from_its_upload_to_its_model(client: openai.OpenAI, tmp_path: Path) -> None:
    file = client.files.create(file=("mine.tar.gz", DATA), purpose="fine-tune")
    assert (file.filename, file.bytes, file.status) == ("mine.tar.gz", len(DATA), "processed")
    assert client.files.list().data == [file] == [client.files.retrieve(file.id)]

    jobs = client.fine_tuning.jobs
    method: Any = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": "auto"}}}
    job = jobs.create(
        model="tiny.en", training_file=file.id, method=method, metadata={"max_steps": "2"}, suffix="mine"
    )

    assert (job.status, job.training_file, job.fine_tuned_model) == ("queued", file.id, None)
    assert job.metadata == {"kind": "finetune", "max_steps": "2"}
    folder = TrainingStore(tmp_path).find(job.id)
    assert folder
    assert (folder.data / "a.wav").read_bytes() == b"sound"
    finished(folder)
    (folder.path / "exports" / "ct2").mkdir()
    (folder.path / "exports" / "ct2" / "model.bin").touch()
    done = jobs.retrieve(job.id)
    assert (done.status, done.fine_tuned_model, done.finished_at) == ("succeeded", job.id, 61)
    assert [j.id for j in jobs.list().data] == [job.id]
    told = [event.message for event in jobs.list_events(job.id)]
    assert told == ["It has succeeded.", "It was started.", "finetune of tiny.en was queued."]
    assert client.files.delete(file.id).deleted
    assert not client.files.list().data


def test_a_model_that_cannot_be_served_has_no_name(client: openai.OpenAI, tmp_path: Path) -> None:
    file = client.files.create(file=("mine.tar.gz", DATA), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model="tiny.en", training_file=file.id)
    folder = TrainingStore(tmp_path).find(job.id)
    assert folder

    finished(folder)  # without the export that is served

    done = client.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.fine_tuned_model) == ("succeeded", None)


def test_a_job_is_cancelled(client: openai.OpenAI) -> None:
    file = client.files.create(file=("mine.tar.gz", DATA), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model="tiny.en", training_file=file.id)

    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"training_file": "file-1"}, "training_file: expected one of your files, got 'file-1'"),
        ({"model": "gpt-4o"}, "model: expected one of tiny.en, tiny.en@stock, got 'gpt-4o'"),
        ({"metadata": {"steps": "2"}}, "training: unknown key 'steps'"),
        ({"metadata": {"corpus": "shared"}}, "corpus: expected a file or a corpus, got both"),
        ({"hyperparameters": {"n_epochs": 2}}, "training: unknown key 'max_epochs'"),
        ({"hyperparameters": {"batch_size": 2}}, "fine_tuning: 'hyperparameters.batch_size': "),
        ({"validation_file": "file-1"}, "fine_tuning: unknown key 'validation_file'"),
    ],
)
def test_what_is_wrong_is_openai_s_error(
    changed: dict[str, Any], message: str, client: openai.OpenAI
) -> None:
    file = client.files.create(file=("mine.tar.gz", DATA), purpose="fine-tune")

    with pytest.raises(openai.APIStatusError) as error:
        client.fine_tuning.jobs.create(**{"model": "tiny.en", "training_file": file.id, **changed})

    assert error.value.body["message"].startswith(message)  # type: ignore[index]  # it is that of the error
    assert error.value.status_code in (400, 404)


def test_a_file_is_only_for_its_key(client: openai.OpenAI) -> None:
    file = client.files.create(file=("mine.tar.gz", DATA), purpose="fine-tune")
    other = client.with_options(api_key=KEYS["VOXRAY_API_KEYS"].split(",")[1])

    assert not other.files.list().data
    with pytest.raises(openai.NotFoundError):
        other.files.delete(file.id)
    with pytest.raises(openai.NotFoundError):
        other.fine_tuning.jobs.create(model="tiny.en", training_file=file.id)


def test_another_purpose_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="purpose: expected fine-tune, got 'batch'"):
        client.files.create(file=("mine.tar.gz", DATA), purpose="batch")
