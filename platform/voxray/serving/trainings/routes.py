"""Trainings over HTTP.

    POST   /v1/trainings                 an archive of an audio folder, or a corpus of the server: 201
    GET    /v1/trainings, /{id}          those of this key
    GET    /v1/trainings/{id}/events     server-sent: the training each time that it changes, until it ends
    GET    /v1/trainings/{id}/model      tar.gz, `format=hf`, `ct2` or `ggml`
    GET    /v1/trainings/{id}/report     the job's page
    POST   /v1/trainings/{id}/cancel
    DELETE /v1/trainings/{id}            with its data and its model

The gateway checks keys before these routes; a key finds only its own trainings.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from voxray.errors import ConfigError, CorpusError
from voxray.serving.api_error import ApiError, invalid_field
from voxray.serving.gateway.auth import AccessPolicy, bearer_key
from voxray.serving.rest.limits import Slots
from voxray.serving.settings import ServiceArgs
from voxray.serving.trainings.bodies import DeletedTraining, TrainingList, TrainingObject
from voxray.serving.trainings.downloads import packed
from voxray.serving.trainings.states import TrainingRequest
from voxray.serving.trainings.store import FORMATS, TrainingFolder, TrainingStore
from voxray.serving.trainings.submission import Submission, received_submission

POLL_S = 0.5
KEEP_ALIVE_S = 15.0
UPLOADS, STREAMS, DOWNLOADS = 2, 64, 8  # at once in one gateway


class TrainingRunner(Protocol):
    """Runs `supervise` for trainings, in processes that outlive the gateway."""

    async def check(self, request: TrainingRequest) -> None:
        """Raise ConfigError where the job would not take the request's keys."""
        ...

    async def start(self, id: str) -> None:
        """Start the training with this id, or queue it; nothing if that was done before."""
        ...

    async def stop(self, folder: TrainingFolder) -> None:
        """Return when nothing works on a cancelled training any more."""
        ...


class TrainingApi:
    """The routes. `settings.dir` must be there."""

    def __init__(self, args: ServiceArgs, policy: AccessPolicy, runner: TrainingRunner) -> None:
        assert args.trainings.dir
        self._settings = args.trainings
        self._limits = args.limits.model_copy(update={"body_bytes": args.trainings.upload_bytes})
        self._policy, self._runner = policy, runner
        self.store = TrainingStore(args.trainings.dir)
        self._uploads = Slots(UPLOADS, "uploads of trainings")
        self._streams = Slots(STREAMS, "streams of events")
        self._downloads = Slots(DOWNLOADS, "downloads")
        one = "/v1/trainings/{id}"
        self.routes = [
            _route("/v1/trainings", self._create, "POST"),
            _route("/v1/trainings", self._list, "GET"),
            _route(one, self._show, "GET"),
            _route(one, self._delete, "DELETE"),
            _route(f"{one}/cancel", self._cancel, "POST"),
            _route(f"{one}/events", self._events, "GET"),
            _route(f"{one}/model", self._model, "GET"),
            _route(f"{one}/report", self._report, "GET"),
        ]

    async def keep_running(self) -> None:
        """Start what is unfinished: after a restart of the cluster, nothing works on it."""
        await asyncio.to_thread(self.store.sweep)
        for folder in await asyncio.to_thread(self.store.unfinished):
            await self._runner.start(folder.id)

    async def _create(self, request: Request) -> Response:
        owner = self._owner(request)
        await asyncio.to_thread(self._check_quota, owner)
        with self._uploads.slot():
            async with received_submission(request, self._limits, self._settings, owner) as submission:
                await self._runner.check(submission.request)
                folder = await self._stored(submission)
        await self._runner.start(folder.id)
        return JSONResponse(await _object(folder), 201, {"Location": f"/v1/trainings/{folder.id}"})

    async def _stored(self, submission: Submission) -> TrainingFolder:
        """Store a submission. If the client disconnects, its archive is closed, and nothing is stored."""
        await asyncio.to_thread(submission.store, self.store)
        folder = self.store.find(submission.request.id)
        assert folder
        return folder

    def _check_quota(self, owner: str) -> None:
        own = self.store.owned_by(owner)
        unfinished = sum(not folder.state.status.final for folder in own)
        kept, most = self._settings.kept, self._settings.unfinished
        if unfinished >= most:
            raise _over(f"at most {most} unfinished trainings of a key, got one more; wait or cancel one.")
        if len(own) >= kept:
            raise _over(f"at most {kept} trainings of a key, got one more; delete one.")

    async def _list(self, request: Request) -> Response:
        folders = await asyncio.to_thread(self.store.owned_by, self._owner(request))
        found = []
        for folder in folders:
            with suppress(FileNotFoundError):
                found.append(TrainingObject.of(folder, time.time()))
        return JSONResponse(TrainingList(data=tuple(found)).model_dump(mode="json"))

    async def _show(self, request: Request) -> Response:
        return JSONResponse(await _object(self._found(request)))

    async def _cancel(self, request: Request) -> Response:
        folder = self._found(request)
        folder.cancel()
        await self._runner.stop(folder)
        return JSONResponse(await _object(folder))

    async def _delete(self, request: Request) -> Response:
        folder = self._found(request)
        folder.cancel()
        await self._runner.stop(folder)
        await asyncio.to_thread(self.store.delete, folder)
        return JSONResponse(DeletedTraining(id=folder.id).model_dump())

    async def _events(self, request: Request) -> Response:
        folder = self._found(request)
        self._streams.check()
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        gateway = getattr(request.app.state, "gateway", None)
        events = self._changes(folder, lambda: bool(gateway and gateway.draining))
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    async def _changes(self, folder: TrainingFolder, draining: Callable[[], bool]) -> AsyncIterator[str]:
        shown, sent_s = None, time.monotonic()
        with self._streams.slot(), suppress(FileNotFoundError):
            while not draining():
                training = await _described(folder)
                if training.shown_state != shown:
                    shown, sent_s = training.shown_state, time.monotonic()
                    yield f"event: {training.status}\ndata: {training.model_dump_json()}\n\n"
                if training.status.final:
                    return
                if time.monotonic() - sent_s > KEEP_ALIVE_S:
                    sent_s = time.monotonic()
                    yield ": still here\n\n"
                await asyncio.sleep(POLL_S)

    async def _model(self, request: Request) -> Response:
        folder, format = self._found(request), request.query_params.get("format", FORMATS[0])
        if format not in FORMATS:
            raise invalid_field("format", ", ".join(FORMATS[:-1]) + f" or {FORMATS[-1]}", format)
        training = await _described(folder)
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
        page = self._found(request).out / "report.html"
        if not page.exists():
            raise ApiError(
                409, "expected a training that has trained, got one that has not.", code="no_report"
            )
        return FileResponse(page, headers={"Content-Security-Policy": "sandbox allow-scripts"})

    def _found(self, request: Request) -> TrainingFolder:
        """Return the training that the path names; ApiError 404 unless it is of the request's key."""
        id = request.path_params["id"]
        folder = self.store.find(id)
        with suppress(FileNotFoundError):
            if folder and folder.request.owner == self._owner(request):
                return folder
        raise ApiError(
            404, f"id: expected one of your trainings, got {id[:80]!r}.", param="id", code="not_found"
        )

    def _owner(self, request: Request) -> str:
        return self._policy.owner(bearer_key(request.headers))


async def _object(folder: TrainingFolder) -> object:
    return (await _described(folder)).model_dump(mode="json")


async def _described(folder: TrainingFolder) -> TrainingObject:
    """Read a training in a thread: its directory may be on another machine."""
    return await asyncio.to_thread(TrainingObject.of, folder, time.time())


def _no_model(folder: TrainingFolder, training: TrainingObject, format: str) -> str:
    if reason := folder.line(f"exports/{format}.error"):
        return f"format: expected {', '.join(training.formats)}, got {format!r}: {reason}"
    return f"expected a training that has succeeded, got one that is {training.status}."


def _over(expected: str) -> ApiError:
    return ApiError(429, f"expected {expected}", code="quota_exceeded")


def _route(path: str, respond: Callable[[Request], Awaitable[Response]], method: str) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            return await respond(request)
        except ApiError as e:
            return e.response()
        except ClientDisconnect:
            return Response(status_code=499)
        except FileNotFoundError:
            return ApiError(
                404, "id: expected a training, got one that was deleted.", code="not_found"
            ).response()
        except (ConfigError, CorpusError) as e:
            param = "data" if isinstance(e, CorpusError) else None
            return ApiError(400, str(e), param=param, code="invalid_value").response()
        except OSError as e:
            message = f"expected room for trainings, got an error of the disk ({e.strerror})."
            return ApiError(507, message, code="no_room").response()

    return Route(path, endpoint, methods=[method])
