"""OpenAI's fine-tuning API over the trainings, so that its clients work: files, and jobs on them.

    POST, GET   /v1/files, GET, DELETE /v1/files/{id}      archives of audio folders
    POST, GET   /v1/fine_tuning/jobs, GET .../{id}         trainings; POST .../{id}/cancel
    GET         /v1/fine_tuning/jobs/{id}/events           what has happened

A job is the training with the same id. Keys of ours go into `metadata`, beside `kind`.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, Literal

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from voxray.config import Config, parse
from voxray.serving.api_error import ApiError, invalid_field
from voxray.serving.gateway.auth import AccessPolicy, bearer_key
from voxray.serving.rest.uploads import receive_body, receive_form
from voxray.serving.trainings.archives import ArchiveLimits
from voxray.serving.trainings.bodies import TrainingObject
from voxray.serving.trainings.endpoint import route
from voxray.serving.trainings.files import DeletedFile, FileList, FileObject
from voxray.serving.trainings.service import TrainingService
from voxray.serving.trainings.store import SERVED_FORMAT
from voxray.serving.trainings.submission import Submission, training_request

EPOCHS = {"finetune": "max_epochs", "distil": "max_epochs", "adapt": "epochs"}


class FineTuningHyperparameters(Config):
    """OpenAI's three; the two others than epochs mean nothing without its models."""

    n_epochs: int | Literal["auto"] = "auto"
    batch_size: Literal["auto"] = "auto"
    learning_rate_multiplier: Literal["auto"] = "auto"


class SupervisedMethod(Config):
    """How OpenAI's clients of today say them."""

    hyperparameters: FineTuningHyperparameters = FineTuningHyperparameters()


class FineTuningMethod(Config):
    """The method; there is one."""

    type: Literal["supervised"]
    supervised: SupervisedMethod = SupervisedMethod()


class FineTuningRequest(Config):
    """The body of a new job."""

    model: str
    training_file: str
    hyperparameters: FineTuningHyperparameters = FineTuningHyperparameters()
    method: FineTuningMethod | None = None
    metadata: Mapping[str, str] | None = None
    suffix: str | None = None  # of the model's name, which here is the job's

    def fields(self) -> dict[str, str]:
        """Return the fields of a training."""
        fields = {"kind": "finetune", "model": self.model, **(self.metadata or {})}
        asked = self.method.supervised.hyperparameters if self.method else self.hyperparameters
        if asked.n_epochs != "auto" and (key := EPOCHS.get(fields["kind"])):
            fields[key] = str(asked.n_epochs)
        return fields


class FineTuningApi:
    """The routes."""

    def __init__(self, service: TrainingService, policy: AccessPolicy) -> None:
        self._service, self._policy, self._files = service, policy, service.files
        file, jobs = "/v1/files/{id}", "/v1/fine_tuning/jobs"
        self.routes = [
            route("/v1/files", self._upload, "POST"),
            route("/v1/files", self._list_files, "GET"),
            route(file, self._show_file, "GET"),
            route(file, self._delete_file, "DELETE"),
            route(jobs, self._create, "POST"),
            route(jobs, self._list, "GET"),
            route(f"{jobs}/{{id}}", self._show, "GET"),
            route(f"{jobs}/{{id}}/cancel", self._cancel, "POST"),
            route(f"{jobs}/{{id}}/events", self._events, "GET"),
        ]

    async def _upload(self, request: Request) -> Response:
        service, owner, kept = self._service, self._owner(request), self._service.settings.kept
        if len(await asyncio.to_thread(self._files.owned_by, owner)) >= kept:
            message = f"expected at most {kept} files of a key, got one more; delete one."
            raise ApiError(429, message, code="quota_exceeded")
        await service.check_stored(owner)
        with service.uploads.slot():
            async with receive_form(request, service.limits) as form:
                sent, purpose = form.get("file"), form.get("purpose")
                if purpose != "fine-tune":
                    raise invalid_field("purpose", "fine-tune", purpose)
                if not isinstance(sent, UploadFile):
                    raise ApiError(400, "file: expected a file, got none.", param="file")
                name = (sent.filename or "file")[:80]
                file = await asyncio.to_thread(self._files.add, sent.file, name, owner, time.time())
        return JSONResponse(file.model_dump())

    async def _list_files(self, request: Request) -> Response:
        files = await asyncio.to_thread(self._files.owned_by, self._owner(request))
        return JSONResponse(FileList(data=files).model_dump())

    async def _show_file(self, request: Request) -> Response:
        return JSONResponse(self._file(request.path_params["id"], request, "id").model_dump())

    async def _delete_file(self, request: Request) -> Response:
        file = self._file(request.path_params["id"], request, "id")
        await asyncio.to_thread(self._files.delete, file)
        return JSONResponse(DeletedFile(id=file.id).model_dump())

    async def _create(self, request: Request) -> Response:
        service, owner = self._service, self._owner(request)
        asked = parse(FineTuningRequest, await _json(request), "fine_tuning")
        file = self._file(asked.training_file, request, "training_file")
        await service.check_quota(owner)
        wanted = training_request(asked.fields(), service.settings, {}, owner, file=file.id)
        limits = ArchiveLimits(service.settings.files, service.settings.unpacked_bytes)
        with service.uploads.slot(), self._files.open(file) as data:
            folder = await service.create(Submission(wanted, data, limits))
        return JSONResponse(_job(await service.described(folder)))

    async def _list(self, request: Request) -> Response:
        trainings = await self._service.owned_by(self._owner(request))
        jobs = [_job(training) for training in trainings]
        return JSONResponse({"object": "list", "data": jobs, "has_more": False})

    async def _show(self, request: Request) -> Response:
        return JSONResponse(_job(await self._found(request)))

    async def _cancel(self, request: Request) -> Response:
        folder = self._service.find(request.path_params["id"], self._owner(request))
        await self._service.cancel(folder)
        return JSONResponse(_job(await self._service.described(folder)))

    async def _events(self, request: Request) -> Response:
        events = _events_of(await self._found(request))
        return JSONResponse({"object": "list", "data": events[::-1], "has_more": False})

    async def _found(self, request: Request) -> TrainingObject:
        folder = self._service.find(request.path_params["id"], self._owner(request))
        return await self._service.described(folder)

    def _file(self, id: str, request: Request, param: str) -> FileObject:
        if file := self._files.find(id, self._owner(request)):
            return file
        raise ApiError(
            404, f"{param}: expected one of your files, got {id[:80]!r}.", param=param, code="not_found"
        )

    def _owner(self, request: Request) -> str:
        return self._policy.owner(bearer_key(request.headers))


async def _json(request: Request) -> dict[str, Any]:
    body = await receive_body(request)
    try:
        values = json.loads(body)
    except ValueError as e:
        raise ApiError(400, "expected a body in JSON, got one that does not parse.") from e
    if not isinstance(values, dict):
        raise ApiError(400, f"expected a JSON object, got {type(values).__name__}.")
    return values


def _job(training: TrainingObject) -> dict[str, Any]:
    """Return a training as OpenAI's `fine_tuning.job`; its id names its model, if that is served."""
    error = training.error and {"code": "training_failed", "message": training.error, "param": None}
    left_s = training.left_s
    return {
        "id": training.id,
        "object": "fine_tuning.job",
        "created_at": int(training.created_at),
        "error": error,
        "fine_tuned_model": training.id if SERVED_FORMAT in training.formats else None,
        "finished_at": training.ended_at and int(training.ended_at),
        "hyperparameters": {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"},
        "model": training.model,
        "organization_id": "",
        "result_files": [],
        "seed": 0,
        "status": training.status,
        "trained_tokens": None,
        "training_file": training.file or "",
        "validation_file": None,
        "estimated_finish": None if left_s is None else int(time.time() + left_s),
        "metadata": {"kind": training.kind, **training.keys},
    }


def _events_of(training: TrainingObject) -> list[dict[str, Any]]:
    """Return what has happened to a training, in its order."""
    told = [(training.created_at, "info", f"{training.kind} of {training.model} was queued.")]
    if training.started_at:
        told.append((training.started_at, "info", "It was started."))
    if training.wer is not None:
        wers = f"WER {training.wer_before:.2f} % before, {training.wer:.2f} % at best."
        told.append((training.ended_at or time.time(), "info", wers))
    if training.ended_at:
        level = "error" if training.error else "info"
        told.append((training.ended_at, level, training.error or f"It has {training.status}."))
    return [
        {
            "id": f"{training.id}-{number}",
            "object": "fine_tuning.job.event",
            "created_at": int(at),
            "level": level,
            "message": message,
            "type": "message",
        }
        for number, (at, level, message) in enumerate(told)
    ]
