"""OpenAI's audio API over HTTP, with its documentation at `/docs` from our own assets.

    POST /v1/audio/transcriptions, /v1/audio/translations    a file to text
    GET  /v1/models, /v1/models/{id}                         the one model, by its names
    GET  /docs, /openapi.json                                open to all

A request's key is the gateway's concern, and looked at before all this. Its body is read before its audio is
decoded; where its client goes, its work stops. Of a file that is cut off, what is there is transcribed, and
the response has a `Warning` header.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import ExitStack, aclosing, asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from voxray.errors import VoxrayError
from voxray.serving.api_error import ApiError, api_error_of
from voxray.serving.rest import docs, openapi
from voxray.serving.rest.limits import MemoryBudget, Places, Share
from voxray.serving.rest.not_found import NotFound
from voxray.serving.rest.recordings import Files, Hearing
from voxray.serving.rest.request import WHISPER_1, TranscriptionRequest, check_model, request_of
from voxray.serving.rest.responses import answer, events
from voxray.serving.rest.uploads import Decoders, Upload, received
from voxray.serving.settings import ServiceArgs
from voxray.transcribe import cutting_for
from voxray.whisper.engines import DecodingOptions, Task

T = TypeVar("T")


class Api:
    """The API over `files`: its `routes` are to be mounted at the root. Who may ask is not looked at here."""

    def __init__(self, files: Files, args: ServiceArgs) -> None:
        self._desk = ApiState(files, args)
        schema = openapi.schema(self._desk.models, args.limits)
        page = docs.page(schema)
        safe = {"Content-Security-Policy": docs.policy(page)}
        self.routes = [
            Route("/v1/audio/transcriptions", Audio(self._desk, "transcribe"), methods=["POST"]),
            Route("/v1/audio/translations", Audio(self._desk, "translate"), methods=["POST"]),
            Route("/v1/models", self._desk.list_models),
            Route("/v1/models/{name:path}", self._desk.show_model),
            Route("/openapi.json", lambda _: JSONResponse(schema)),
            Route("/docs", lambda _: HTMLResponse(page, headers=safe)),
            Route("/v1/{path:path}", NotFound()),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Around the life of the app that has the routes: no thread outlives it."""
        try:
            yield
        finally:
            await asyncio.to_thread(self._desk.decoders.close)


class ApiState:
    """What all requests share: for which models they may ask, and what room there is for files."""

    def __init__(self, files: Files, args: ServiceArgs) -> None:
        self.files = files
        self.limits = args.limits
        self.models = tuple(dict.fromkeys([files.model, WHISPER_1, *args.models]))
        self.decoders = Decoders(args.limits)
        self.uploads = Places(args.limits.uploads, "uploads")
        self.places = Places(args.limits.files, "files")
        self.reserve = MemoryBudget(args.limits.decoded_s)
        self._described: tuple[float, tuple[str, ...]] | None = None

    async def describe(self) -> tuple[float, tuple[str, ...]]:
        """The model's smallest window in seconds and its languages, asked for once."""
        if self._described is None:
            self._described = await self.files.describe()
        return self._described

    async def list_models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        return JSONResponse({"object": "list", "data": [_model(name) for name in self.models]})

    async def show_model(self, request: Request) -> Response:
        """`GET /v1/models/{name}`."""
        return await _told(lambda: self._show(request))

    async def _show(self, request: Request) -> Response:
        check_model(request.path_params["name"], self.models)
        return JSONResponse(_model(request.path_params["name"]))


class Audio:
    """An ASGI app: a file comes, and what is said in it goes, for one `task`.

    Not a function of request to response: what a file takes is given back after the last event of a stream.
    """

    def __init__(self, desk: ApiState, task: Task) -> None:
        self._desk = desk
        self._task: Task = task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; nothing where its client is gone."""
        request = Request(scope, receive)
        try:
            with ExitStack() as taken:
                response = await _told(lambda: self._respond(request, taken))
                await _sent(response, scope, receive, send)
        except ClientDisconnect:
            return

    async def _respond(self, request: Request, taken: ExitStack) -> Response:
        """The answer. A file's place is taken once its body is here: who sends slowly keeps nobody out."""
        self._desk.places.check()
        _, languages = await self._desk.describe()
        with self._desk.uploads.place():
            async with received(request, self._desk.limits) as upload:
                order = request_of(upload.fields, self._task, self._desk.models, languages)
                taken.enter_context(self._desk.places.place())
                share = taken.enter_context(self._desk.reserve.share())
                return await while_connected(request, self._answer(upload, order, share))

    async def _answer(self, upload: Upload, order: TranscriptionRequest, share: Share) -> Response:
        min_window_s, _ = await self._desk.describe()
        cutting = cutting_for(min_window_s)
        warnings: list[str] = []
        windows = await self._desk.decoders.windows(upload, cutting, share, warnings.append)
        headers = {"Warning": f"299 - {json.dumps(warning)}" for warning in warnings}  # ASCII
        options = DecodingOptions(
            language=order.language, task=order.task, words=order.words, timestamps=cutting.timestamps
        )
        hearing = Hearing(self._desk.files, windows, options)
        if order.stream:
            headers |= {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            return StreamingResponse(events(hearing, order), media_type="text/event-stream", headers=headers)
        told = answer(await hearing.whole(), order)
        return Response(told.body, media_type=told.media_type, headers=headers)


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; where the client of `request` goes first, `work` is stopped: ClientDisconnect.

    The body of `request` must have been read.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _told(work: Callable[[], Awaitable[Response]]) -> Response:
    """The response of `work`, or the one that says why there is none."""
    try:
        return await work()
    except ApiError as e:
        return e.response()
    except VoxrayError as e:
        return api_error_of(e).response()


async def _sent(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Sends `response`; where its client goes, the windows that are under way are stopped at once."""
    if not isinstance(response, StreamingResponse):
        await response(scope, receive, send)
        return
    parts: Any = response.body_iterator
    async with aclosing(parts):
        await response(scope, receive, send)


def _model(name: str) -> dict[str, Any]:
    """As OpenAI's API lists it; when it was made is not known."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "voxray"}
