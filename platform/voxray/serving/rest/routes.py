"""OpenAI's audio API over HTTP, with its documentation at `/docs`.

    POST /v1/audio/transcriptions, /v1/audio/translations    a file to text
    GET  /v1/models, /v1/models/{id}                         the models that the key may choose
    GET  /docs, /openapi.json                                without a key

The gateway checks keys before these routes. A request's body is read before its audio is decoded; when its
client disconnects, its work is cancelled. What there is of a truncated file is transcribed, and the response
has a `Warning` header.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from voxray.errors import VoxrayError
from voxray.serving.api_error import ApiError, api_error_of
from voxray.serving.gateway.auth import bearer_key
from voxray.serving.model_catalog import CatalogEntry, ModelCatalog
from voxray.serving.protocol import ModelDescription
from voxray.serving.rest import docs, openapi
from voxray.serving.rest.bodies import ModelList, ModelObject
from voxray.serving.rest.limits import MemoryBudget, MemoryShare, Slots
from voxray.serving.rest.not_found import NotFound
from voxray.serving.rest.recordings import FileTranscriber, RecordingDecoder, decoded_channels
from voxray.serving.rest.request import (
    TranscriptionRequest,
    TranslationRequest,
    check_language,
    parse_request,
)
from voxray.serving.rest.responses import events, transcription_response
from voxray.serving.rest.uploads import DecoderPool, Upload, receive_upload
from voxray.serving.settings import WHISPER_1, ServiceArgs
from voxray.transcribe import Cutting, cutting_for
from voxray.whisper.engines import DecodingOptions

T = TypeVar("T")


class Api:
    """The API over `transcriber` and the models of `catalog`; with trainings and corrections, if any.

    Mount `routes` at the root, and enter `running` for the app's life.
    """

    def __init__(
        self,
        transcriber: FileTranscriber,
        args: ServiceArgs,
        catalog: ModelCatalog,
        trainings: Sequence[Route] = (),
        corrections: Sequence[Route] = (),
    ) -> None:
        self._state = ApiState(transcriber, args, catalog)
        models = (args.model, WHISPER_1, *args.models)
        shown = args.trainings if trainings else None
        schema = openapi.schema(models, args.limits, shown, corrections=bool(corrections))
        page = docs.page(schema)
        headers = {"Content-Security-Policy": docs.policy(page)}
        transcriptions = TranscriptionEndpoint(self._state, TranscriptionRequest)
        translations = TranscriptionEndpoint(self._state, TranslationRequest)
        served = [
            Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
            Route("/v1/audio/translations", translations, methods=["POST"]),
            Route("/v1/models", self._list_models),
            Route("/v1/models/{name:path}", self._show_model),
            *trainings,
            *corrections,
            Route("/openapi.json", lambda _: JSONResponse(schema)),
            Route("/docs", lambda _: HTMLResponse(page, headers=headers)),
        ]
        self.routes = [*served, Route("/v1/{path:path}", NotFound(served))]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """End the API's threads at the end of the block."""
        try:
            yield
        finally:
            await asyncio.to_thread(self._state.decoders.close)

    async def _list_models(self, request: Request) -> Response:
        entries = await self._state.catalog.entries(bearer_key(request.headers))
        return JSONResponse(ModelList(data=await self._described(entries)).model_dump())

    async def _show_model(self, request: Request) -> Response:
        name, key = request.path_params["name"], bearer_key(request.headers)
        entries = [entry for entry in await self._state.catalog.entries(key) if entry.name == name]
        if not entries:
            return (await self._state.catalog.unknown_model(name, key)).response()
        return JSONResponse((await self._described(entries))[0].model_dump())

    async def _described(self, entries: Sequence[CatalogEntry]) -> tuple[ModelObject, ...]:
        """Return models with what is known of them, also while no transcriber answers."""
        models = [entry.model for entry in entries]
        try:
            known = await self._state.transcriber.describe_known(models)
        except VoxrayError:
            known = [None] * len(models)
        return tuple(map(_model_object, entries, known))


def _model_object(entry: CatalogEntry, known: ModelDescription | None) -> ModelObject:
    return ModelObject(
        id=entry.name,
        created=int(entry.created_at),
        owned_by="organization-owner" if entry.trained else "voxray",
        source=entry.source,
        loaded=known.loaded if known else False,
        min_window_s=known.min_window_s if known else None,
        languages=known.languages if known else None,
    )


class ApiState:
    """What all requests share: the models, and limits on what files may use."""

    def __init__(self, transcriber: FileTranscriber, args: ServiceArgs, catalog: ModelCatalog) -> None:
        self.transcriber, self.catalog = transcriber, catalog
        self.limits = args.limits
        self.decoders = DecoderPool(args.limits)
        self.uploads = Slots(args.limits.uploads, "uploads")
        self.files = Slots(args.limits.files, "files")
        self.memory = MemoryBudget(args.limits.decoded_s)
        self._descriptions: dict[str | None, ModelDescription] = {}

    async def describe(self, model: str | None) -> ModelDescription:
        """Return what a model is made for. The transcriber is asked once for each."""
        if model not in self._descriptions:
            self._descriptions[model] = await self.transcriber.describe(model)
        return self._descriptions[model]


class TranscriptionEndpoint:
    """An ASGI app that transcribes a file, or translates it, by its class of request.

    It is not a function from request to response, as it releases resources after a stream's last event.
    """

    def __init__(self, state: ApiState, kind: type[TranscriptionRequest]) -> None:
        self._state = state
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request, or stop if its client disconnects."""
        request = Request(scope, receive)
        try:
            with ExitStack() as resources:
                response = await self._respond(request, resources)
                await _send_response(response, scope, receive, send)
        except ClientDisconnect:
            return

    async def _respond(self, request: Request, resources: ExitStack) -> Response:
        try:
            return await self._receive(request, resources)
        except ApiError as e:
            return e.response()
        except VoxrayError as e:
            return api_error_of(e).response()

    async def _receive(self, request: Request, resources: ExitStack) -> Response:
        """Receive the body, then use a slot for files: a slow upload keeps nobody else waiting."""
        state = self._state
        state.files.check()
        await state.describe(None)  # without a transcriber, no body is received
        with state.uploads.slot():
            async with receive_upload(request, state.limits) as upload:
                wanted = parse_request(upload.fields, self._kind)
                model = await state.catalog.choose(wanted.model, bearer_key(request.headers))
                check_language(wanted, (await state.describe(model)).languages)
                resources.enter_context(state.files.slot())
                share = resources.enter_context(state.memory.share())
                response = await while_connected(request, self._transcribe(upload, wanted, model, share))
                if usage := getattr(request.state, "usage", None):  # of the key
                    usage.charge(share.seconds)
                return response

    async def _transcribe(
        self, upload: Upload, request: TranscriptionRequest, model: str | None, share: MemoryShare
    ) -> Response:
        cutting = cutting_for((await self._state.describe(model)).min_window_s)
        warnings: list[str] = []
        channels = await self._state.decoders.windows(
            upload,
            cutting,
            share,
            warnings.append,
            track=request.track,
            multichannel=request.multichannel,
        )
        headers = {"Warning": f"299 - {json.dumps(warnings[0])}"} if warnings else {}  # ASCII
        options = _decoding_options(request, cutting)
        transcriber = self._state.transcriber
        decoders = [RecordingDecoder(transcriber, windows, options, model) for windows in channels]
        if request.stream:
            headers |= {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            return StreamingResponse(
                events(decoders[0], request), media_type="text/event-stream", headers=headers
            )
        decode = decoded_channels(decoders) if request.multichannel else decoders[0].recording()
        response = transcription_response(await decode, request)
        response.headers.update(headers)
        return response


def _decoding_options(request: TranscriptionRequest, cutting: Cutting) -> DecodingOptions:
    return DecodingOptions(
        language=request.language,
        task=request.task,
        words=request.words or request.response_format in ("srt", "vtt"),
        timestamps=cutting.timestamps,
        prompt=request.prompt,
        hotwords=request.hotwords,
    )


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; if the client of `request` disconnects first, cancel it: ClientDisconnect.

    The body of `request` must have been read.
    """
    task, disconnect = asyncio.create_task(work), asyncio.create_task(_disconnect(request))
    try:
        await asyncio.wait({task, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        disconnect.cancel()
        await asyncio.gather(task, disconnect, return_exceptions=True)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _send_response(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send `response`; if its client disconnects, cancel the windows that are being decoded at once."""
    if not isinstance(response, StreamingResponse):
        await response(scope, receive, send)
        return
    parts: Any = response.body_iterator
    async with aclosing(parts):
        await response(scope, receive, send)
