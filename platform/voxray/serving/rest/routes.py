"""OpenAI's audio API over HTTP, with its documentation at `/docs` from our own assets.

    POST /v1/audio/transcriptions, /v1/audio/translations    a file to text
    GET  /v1/models, /v1/models/{id}                         the one model, by its names
    GET  /docs, /openapi.json                                open to all

A request's key is checked before its body is read, and its body is read before its audio is decoded; where
its client goes, its work stops.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from voxray.errors import VoxrayError
from voxray.serving.refusals import Refusal, refusal_of
from voxray.serving.rest import docs, openapi
from voxray.serving.rest.answers import answer, events
from voxray.serving.rest.orders import WHISPER_1, Order, check_model, order_of
from voxray.serving.rest.recordings import Files, Hearing
from voxray.serving.rest.strays import Stray
from voxray.serving.rest.uploads import Decoders, Upload, received
from voxray.serving.settings import ServiceArgs
from voxray.transcribe import cutting_for
from voxray.whisper.engines import DecodingOptions, Task

Allowed = Callable[[HTTPConnection], bool]

T = TypeVar("T")


def routes(files: Files, args: ServiceArgs, allowed: Allowed) -> list[Route]:
    """The routes of the API, to be mounted at the root. `allowed`: whether a request has a good key."""
    desk = Desk(files, args, allowed)
    schema = openapi.schema(desk.models, args.limits)
    page = docs.page(schema)
    safe = {"Content-Security-Policy": docs.policy(page)}
    return [
        Route("/v1/audio/transcriptions", Audio(desk, "transcribe"), methods=["POST"]),
        Route("/v1/audio/translations", Audio(desk, "translate"), methods=["POST"]),
        Route("/v1/models", desk.list_models),
        Route("/v1/models/{name:path}", desk.show_model),
        Route("/openapi.json", lambda _: JSONResponse(schema)),
        Route("/docs", lambda _: HTMLResponse(page, headers=safe)),
        Route("/v1/{path:path}", Stray()),
    ]


class Desk:
    """What all requests share: who may ask, for which models, and how many files at once."""

    def __init__(self, files: Files, args: ServiceArgs, allowed: Allowed) -> None:
        self.files = files
        self.limits = args.limits
        self.models = tuple(dict.fromkeys([files.model, WHISPER_1, *args.models]))
        self.decoders = Decoders(args.limits)
        self._allowed = allowed
        self._running = 0
        self._described: tuple[float, tuple[str, ...]] | None = None

    def admit(self, request: Request) -> None:
        """Refusal 401 where the request's key is not good."""
        if not self._allowed(request):
            message = "expected a key that is known (Authorization: Bearer KEY), and none came."
            raise Refusal(401, message, code="invalid_api_key")

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for one file; Refusal 429 where all are taken."""
        if self._running >= self.limits.files:
            message = (
                f"expected at most {self.limits.files} files at once, and one more came; ask again soon."
            )
            raise Refusal(429, message, code="rate_limit_exceeded")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def describe(self) -> tuple[float, tuple[str, ...]]:
        """The model's smallest window in seconds and its languages, asked for once."""
        if self._described is None:
            self._described = await self.files.describe()
        return self._described

    async def list_models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        return await _told(lambda: self._list(request))

    async def show_model(self, request: Request) -> Response:
        """`GET /v1/models/{name}`."""
        return await _told(lambda: self._show(request))

    async def _list(self, request: Request) -> Response:
        self.admit(request)
        return JSONResponse({"object": "list", "data": [_model(name) for name in self.models]})

    async def _show(self, request: Request) -> Response:
        self.admit(request)
        check_model(request.path_params["name"], self.models)
        return JSONResponse(_model(request.path_params["name"]))


class Audio:
    """An ASGI app: a file comes, and what is said in it goes, for one `task`.

    Not a function of request to response: the place of a streamed answer is taken until its last event.
    """

    def __init__(self, desk: Desk, task: Task) -> None:
        self._desk = desk
        self._task: Task = task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; nothing where its client is gone."""
        request = Request(scope, receive)
        try:
            self._desk.admit(request)
            async with self._desk.place():
                response = await _told(lambda: self._respond(request))
                await _sent(response, scope, receive, send)
        except Refusal as e:
            await e.response()(scope, receive, send)
        except ClientDisconnect:
            return

    async def _respond(self, request: Request) -> Response:
        _, languages = await self._desk.describe()
        async with received(request, self._desk.limits) as upload:
            order = order_of(upload.fields, self._task, self._desk.models, languages)
            return await while_connected(request, self._answer(upload, order))

    async def _answer(self, upload: Upload, order: Order) -> Response:
        min_window_s, _ = await self._desk.describe()
        cutting = cutting_for(min_window_s)
        windows = await self._desk.decoders.windows(upload, cutting)
        options = DecodingOptions(
            language=order.language, task=order.task, words=order.words, timestamps=cutting.timestamps
        )
        hearing = Hearing(self._desk.files, windows, options)
        if order.stream:
            headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            return StreamingResponse(events(hearing, order), media_type="text/event-stream", headers=headers)
        told = answer(await hearing.whole(), order)
        return Response(told.body, media_type=told.media_type)


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
    except Refusal as e:
        return e.response()
    except VoxrayError as e:
        return refusal_of(e).response()


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
