"""Trainings over HTTP.

    POST   /v1/trainings                 an archive of an audio folder, or a corpus of the server: 201
    GET    /v1/trainings, /{id}          those of this key
    GET    /v1/trainings/{id}/events     server-sent: the training each time that it changes, until it ends
    GET    /v1/trainings/{id}/model      tar.gz, `format=hf`, `ct2` or `ggml`
    GET    /v1/trainings/{id}/report     the job's page
    GET    /v1/trainings/{id}/clips      its worst clips, with their audio
    POST   /v1/trainings/{id}/cancel
    DELETE /v1/trainings/{id}            with its data and its model

The gateway checks keys before these routes; a key finds only its own trainings.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from voxray.serving.api_error import ApiError, invalid_field
from voxray.serving.gateway.auth import AccessPolicy, bearer_key
from voxray.serving.rest.limits import Slots
from voxray.serving.trainings.bodies import DeletedTraining, TrainingList, TrainingObject
from voxray.serving.trainings.downloads import packed
from voxray.serving.trainings.endpoint import route
from voxray.serving.trainings.service import TrainingService
from voxray.serving.trainings.store import FORMATS, TrainingFolder
from voxray.serving.trainings.submission import received_submission

POLL_S = 0.5
KEEP_ALIVE_S = 15.0
STREAMS, DOWNLOADS = 64, 8  # at once in one gateway
REPORT_HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts",
    "Cross-Origin-Opener-Policy": "unsafe-none",  # browsers refuse a sandboxed page with another policy
}


class TrainingApi:
    """The routes."""

    def __init__(self, service: TrainingService, policy: AccessPolicy) -> None:
        self.service, self._policy = service, policy
        self._streams = Slots(STREAMS, "streams of events")
        self._downloads = Slots(DOWNLOADS, "downloads")
        one = "/v1/trainings/{id}"
        self.routes = [
            route("/v1/trainings", self._create, "POST"),
            route("/v1/trainings", self._list, "GET"),
            route(one, self._show, "GET"),
            route(one, self._delete, "DELETE"),
            route(f"{one}/cancel", self._cancel, "POST"),
            route(f"{one}/events", self._events, "GET"),
            route(f"{one}/model", self._model, "GET"),
            route(f"{one}/report", self._report, "GET"),
            route(f"{one}/clips", self._clips, "GET"),
        ]

    async def _create(self, request: Request) -> Response:
        service, owner = self.service, self._owner(request)
        await service.check_quota(owner)  # before the body is read
        corpora = await asyncio.to_thread(service.corpora, owner)
        with service.uploads.slot():
            received = received_submission(request, service.limits, service.settings, corpora, owner)
            async with received as submission:
                folder = await service.create(submission)
        return JSONResponse(await self._body(folder), 201, {"Location": f"/v1/trainings/{folder.id}"})

    async def _list(self, request: Request) -> Response:
        owner, models = self._owner(request), self.service.settings.models
        corpora = tuple(await asyncio.to_thread(self.service.corpora, owner))
        trainings = TrainingList(data=await self.service.owned_by(owner), models=models, corpora=corpora)
        return JSONResponse(trainings.model_dump(mode="json"))

    async def _show(self, request: Request) -> Response:
        return JSONResponse(await self._body(self._found(request)))

    async def _cancel(self, request: Request) -> Response:
        folder = self._found(request)
        await self.service.cancel(folder)
        return JSONResponse(await self._body(folder))

    async def _delete(self, request: Request) -> Response:
        folder = self._found(request)
        await self.service.delete(folder)
        return JSONResponse(DeletedTraining(id=folder.id).model_dump())

    async def _events(self, request: Request) -> Response:
        folder = self._found(request)
        self._streams.check()
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        gateway = request.app.state.gateway
        events = self._changes(folder, lambda: bool(gateway.draining))
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    async def _changes(self, folder: TrainingFolder, draining: Callable[[], bool]) -> AsyncIterator[str]:
        """Yield an event for each change, until the end of the training or of this gateway."""
        shown, sent_s = None, time.monotonic()
        with self._streams.slot(), suppress(FileNotFoundError):
            while not draining():
                training = await self.service.described(folder)
                if training.shown_state != shown:
                    shown, sent_s = training.shown_state, time.monotonic()
                    yield f"event: {training.status}\ndata: {training.model_dump_json()}\n\n"
                if training.status.final:
                    return
                if time.monotonic() - sent_s > KEEP_ALIVE_S:
                    sent_s = time.monotonic()
                    yield ": nothing has changed\n\n"
                await asyncio.sleep(POLL_S)

    async def _model(self, request: Request) -> Response:
        folder, format = self._found(request), request.query_params.get("format", FORMATS[0])
        if format not in FORMATS:
            raise invalid_field("format", ", ".join(FORMATS[:-1]) + f" or {FORMATS[-1]}", format)
        training = await self.service.described(folder)
        model = folder.model(format) if format in training.formats else None
        if not model:
            raise ApiError(409, _no_model(folder, training, format), code="no_model")
        self._downloads.check()
        name = f"{folder.id}-{format}"
        headers = {"Content-Disposition": f'attachment; filename="{name}.tar.gz"'}
        return StreamingResponse(self._packed(model, name), media_type="application/gzip", headers=headers)

    async def _packed(self, model: Path, name: str) -> AsyncIterator[bytes]:
        with self._downloads.slot():
            chunks = packed(model, name)
            try:
                while chunk := await asyncio.to_thread(next, chunks, b""):
                    yield chunk
            finally:
                chunks.close()

    async def _report(self, request: Request) -> Response:
        return FileResponse(self._report_file(request, "report.html"), headers=REPORT_HEADERS)

    async def _clips(self, request: Request) -> Response:
        return FileResponse(self._report_file(request, "clips.json"), media_type="application/json")

    def _report_file(self, request: Request, name: str) -> Path:
        file = self._found(request).out / name
        if not file.exists():
            raise ApiError(409, "expected a training with a report, got one without.", code="no_report")
        return file

    def _found(self, request: Request) -> TrainingFolder:
        return self.service.find(request.path_params["id"], self._owner(request))

    async def _body(self, folder: TrainingFolder) -> object:
        return (await self.service.described(folder)).model_dump(mode="json")

    def _owner(self, request: Request) -> str:
        return self._policy.owner(bearer_key(request.headers))


def _no_model(folder: TrainingFolder, training: TrainingObject, format: str) -> str:
    if reason := folder.line(f"exports/{format}.error"):
        return f"format: expected {', '.join(training.formats)}, got {format!r}: {reason}"
    return f"expected a training that has succeeded, got one that is {training.status}."
