"""Kept finals over HTTP, for the page `/corrections`.

    GET    /v1/corrections              whether finals are kept, and those to correct, the least certain first
    POST   /v1/corrections              {"enabled": true}: keep this key's finals from now on; false: no more
    DELETE /v1/corrections              delete all that was kept, and keep nothing more
    GET    /v1/corrections/{id}/audio   what was said
    POST   /v1/corrections/{id}         {"text": "..."}: what was said in it; it becomes a clip of the corpus
    DELETE /v1/corrections/{id}

The gateway checks keys before these routes; a key finds only its own finals.
"""

import asyncio
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from voxray.serving.api_error import ApiError
from voxray.serving.corrections.bodies import CorrectedText, CorrectionList, CorrectionSwitch, SettledFinal
from voxray.serving.corrections.store import CorrectionStore
from voxray.serving.gateway.auth import AccessPolicy, bearer_key
from voxray.serving.trainings.endpoint import route

SHOWN = 50
BODY_BYTES = 64 << 10
Body = TypeVar("Body", bound=BaseModel)


class CorrectionApi:
    """The routes."""

    def __init__(self, store: CorrectionStore, policy: AccessPolicy) -> None:
        self._store, self._policy = store, policy
        one = "/v1/corrections/{id}"
        self.routes = [
            route("/v1/corrections", self._list, "GET"),
            route("/v1/corrections", self._enable, "POST"),
            route("/v1/corrections", self._clear, "DELETE"),
            route(one, self._accept, "POST"),
            route(one, self._remove, "DELETE"),
            route(f"{one}/audio", self._audio, "GET"),
        ]

    async def _list(self, request: Request) -> Response:
        kept = await asyncio.to_thread(self._described, self._owner(request))
        return JSONResponse(kept.model_dump(mode="json"))

    async def _enable(self, request: Request) -> Response:
        switch = await _received(request, CorrectionSwitch, "enabled: expected true or false, got neither.")
        await asyncio.to_thread(self._store.enable, self._owner(request), enabled=switch.enabled)
        return await self._list(request)

    async def _clear(self, request: Request) -> Response:
        await asyncio.to_thread(self._store.clear, self._owner(request))
        return await self._list(request)

    async def _audio(self, request: Request) -> Response:
        audio = self._store.audio(self._owner(request), _id(request))
        if not audio:
            raise _missing(request)
        return FileResponse(audio, media_type="audio/flac")

    async def _accept(self, request: Request) -> Response:
        sent = await _received(request, CorrectedText, "text: expected a text, got none.")
        if not (text := " ".join(sent.text.split())):
            raise ApiError(400, "text: expected a text, got none.", param="text")
        found = await asyncio.to_thread(self._store.accept, self._owner(request), _id(request), text)
        return _settled(request, found)

    async def _remove(self, request: Request) -> Response:
        found = await asyncio.to_thread(self._store.remove, self._owner(request), _id(request))
        return _settled(request, found)

    def _described(self, owner: str) -> CorrectionList:
        store = self._store
        waiting, accepted = store.counts(owner)
        return CorrectionList(
            enabled=store.is_enabled(owner),
            data=tuple(store.pending(owner, SHOWN)),
            waiting=waiting,
            accepted=accepted,
            days=store.settings.days,
            corpus=str(store.corpus(owner)),
        )

    def _owner(self, request: Request) -> str:
        return self._policy.owner(bearer_key(request.headers))


async def _received(request: Request, model: type[Body], expected: str) -> Body:
    """Return the body of `request`; ApiError with the sentence `expected` where it is no `model`."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            raise ApiError(413, f"expected a body of at most {BODY_BYTES} bytes, got more.")
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as e:
        raise ApiError(400, expected, param=expected.partition(":")[0]) from e


def _id(request: Request) -> str:
    id: str = request.path_params["id"]
    return id


def _settled(request: Request, found: bool) -> Response:
    if not found:
        raise _missing(request)
    return JSONResponse(SettledFinal(id=_id(request)).model_dump())


def _missing(request: Request) -> ApiError:
    message = f"id: expected a final that waits, got {_id(request)[:80]!r}."
    return ApiError(404, message, param="id", code="not_found")
